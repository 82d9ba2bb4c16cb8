"""The cluster at one look, and what is wrong with it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

# An idle shard is written every 5 s.
HAND_OVER = timedelta(seconds=7)


@dataclass(frozen=True, slots=True, kw_only=True)
class Meta:
    """The facts fixed when the cluster was created."""

    cluster_id: str
    shard_count: int
    format_version: int
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Replica:
    """A live process of a service. Addresses are `host:port`."""

    service: str
    instance: str
    replica: str
    address: str
    metrics_address: str
    started_at: datetime
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """A shard. `owner` is a replica's name, empty for none; `epoch` is 0 then. `watermark` None: never written.

    `owner_instance` is the process that has put its name there.
    """

    number: int
    owner: str = ""
    owner_instance: str = ""
    epoch: int = 0
    watermark: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EtcdMember:
    """An etcd server. `error` says why it is not healthy."""

    endpoint: str
    is_healthy: bool
    is_leader: bool
    version: str
    db_size_bytes: int
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a replica finds wrong with what it answers for, and what to do about it. `kind` is a name in upper case."""

    kind: str
    subject: str
    since: datetime
    message: str
    fix: str
    replica: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """What etcd knows. `meta` is None before any service has created it. `findings`: the oldest first."""

    meta: Meta | None
    replicas: Sequence[Replica]
    shards: Sequence[Shard]
    etcd: Sequence[EtcdMember]
    job_count: int
    findings: Sequence[Finding] = ()


def problems_of(
    cluster: Cluster, *, now: datetime, expected_services: Sequence[str], watermark_tolerance: timedelta
) -> list[str]:
    """What is wrong, a sentence each, the gravest kind first. Empty when all is well."""
    return [
        *_etcd_problems(cluster.etcd),
        *_missing_services({replica.service for replica in cluster.replicas}, expected_services),
        *_shard_problems(cluster, now, watermark_tolerance),
    ]


def _etcd_problems(members: Sequence[EtcdMember]) -> Iterator[str]:
    for member in members:
        if not member.is_healthy:
            yield f"etcd at {member.endpoint} is not healthy: {member.error or 'it knows no leader'}"
    if members and not any(member.is_leader for member in members):
        yield "no etcd member says that it is the leader"


def _missing_services(present: set[str], expected: Sequence[str]) -> Iterator[str]:
    for service in expected:
        if service not in present:
            yield f"no replica of {service} is running"


def _shard_problems(cluster: Cluster, now: datetime, tolerance: timedelta) -> Iterator[str]:
    if cluster.meta is None:
        yield "the cluster has not been created yet: no scheduler has started"
        return
    if unowned := [shard.number for shard in cluster.shards if not shard.owner]:
        yield f"{_shards(unowned)} without an owner: jobs there do not fire"
    if left := _left(cluster, now):
        yield f"{_shards(left)} owned by a process that is no live member: stop it, so that its lease ends"
    late: dict[int, timedelta] = {
        shard.number: now - shard.watermark
        for shard in cluster.shards
        if shard.owner and shard.watermark is not None and now - shard.watermark > tolerance
    }
    if late:
        yield f"{_shards(list(late))} behind: the oldest watermark is {_seconds(late)} s old"


def _left(cluster: Cluster, now: datetime) -> list[int]:
    """Shards whose owner has left the cluster and says nothing more; one that hands them over goes on for a moment."""
    live = {replica.instance for replica in cluster.replicas}
    return [
        shard.number
        for shard in cluster.shards
        if shard.owner and shard.owner_instance not in live and not _is_recent(shard.watermark, now)
    ]


def _is_recent(watermark: datetime | None, now: datetime) -> bool:
    return watermark is not None and now - watermark <= HAND_OVER


def _seconds(late: Mapping[int, timedelta]) -> int:
    return int(max(late.values()).total_seconds())


def _shards(numbers: Sequence[int]) -> str:
    if len(numbers) == 1:
        return f"shard {numbers[0]} is"
    shown = ", ".join(map(str, numbers[:8]))
    return f"{len(numbers)} shards ({shown}{', …' if len(numbers) > 8 else ''}) are"
