"""Who is who: shards of jobs, ids of executions. The same everywhere and for ever."""

import secrets
import uuid
from datetime import UTC, datetime, timedelta
from hashlib import blake2b

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def shard_of(namespace: str, job_id: str, shard_count: int) -> int:
    """The shard that a job belongs to, 0 to `shard_count` - 1."""
    digest = blake2b(f"{namespace}/{job_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % shard_count


def execution_id(job_uid: str, scheduled_us: int) -> str:
    """The id of a scheduled run: a UUID that depends on nothing but the job's uid and the time.

    Laid out as RFC 9562 version 8: 48 bits of Unix milliseconds, so that ids sort by time, then a BLAKE2b hash.
    `scheduled_us` is Unix time in microseconds.
    """
    digest = blake2b(b"%d/%s" % (scheduled_us, job_uid.encode()), digest_size=10).digest()
    return _timed_uuid(scheduled_us, digest)


def manual_execution_id(now_us: int) -> str:
    """A fresh id for a run that somebody asked for. Sorts by `now_us`, Unix time in microseconds."""
    return _timed_uuid(now_us, secrets.token_bytes(10))


def repeated_execution_id(job_uid: str, scheduled_us: int, generation: int) -> str:
    """The id of a run that makes up for a time of the schedule: the `generation`-th one for that time, from 0."""
    digest = blake2b(b"%d/%s/backfill/%d" % (scheduled_us, job_uid.encode(), generation), digest_size=10).digest()
    return _timed_uuid(scheduled_us, digest)


def microseconds(moment: datetime) -> int:
    """Unix time in microseconds."""
    return (moment - EPOCH) // MICROSECOND


def moment_of(us: int) -> datetime:
    """The aware UTC moment of a Unix time in microseconds."""
    return EPOCH + timedelta(microseconds=us)


def _timed_uuid(us: int, tail: bytes) -> str:
    value = ((us // 1000) & 0xFFFF_FFFF_FFFF) << 80 | int.from_bytes(tail, "big")
    value = value & ~(0xF << 76) | 8 << 76
    value = value & ~(0x3 << 62) | 2 << 62
    return str(uuid.UUID(int=value))
