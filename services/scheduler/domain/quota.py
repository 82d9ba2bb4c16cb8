"""What a namespace may use, and how replicas share it."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

UNLIMITED = -1
CHUNKS_PER_QUOTA = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """Limits of a namespace; -1 means none."""

    max_jobs: int = UNLIMITED
    max_concurrent_runs: int = UNLIMITED
    max_executions_per_hour: int = UNLIMITED

    @property
    def limits_runs(self) -> bool:
        """Whether runs have to be counted."""
        return self.max_concurrent_runs != UNLIMITED or self.max_executions_per_hour != UNLIMITED


NO_LIMITS = Quota()


class Verdict(StrEnum):
    """What becomes of a run that asks for its share."""

    GRANTED = "granted"
    WAIT = "wait"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Answer:
    """A verdict; `reason` is a sentence, empty when it is granted."""

    verdict: Verdict
    reason: str = ""


GRANTED = Answer(Verdict.GRANTED)


def hour_of(now: datetime) -> str:
    """The clock hour (UTC) of an aware UTC moment, as `YYYYMMDDHH`."""
    return f"{now:%Y%m%d%H}"


def chunk_of(quota: int) -> int:
    """How many executions of an hour a replica reserves beyond what it needs at once: 1 % of the quota, at least 1."""
    return max(1, quota // CHUNKS_PER_QUOTA)


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What one replica has of a namespace's concurrent runs: slots `reserved`, and runs `waiting` for one."""

    reserved: int = 0
    waiting: int = 0


def fair_slots(quota: int, others: Collection[Share]) -> int:
    """How many slots a replica may keep: all while nobody else waits, else its part among those who want some."""
    if not any(share.waiting for share in others):
        return quota
    return quota // (1 + sum(1 for share in others if share.reserved or share.waiting))


def slots_to_reserve(quota: int, others: Collection[Share], *, running: int, waiting: int) -> int:
    """The slots that a replica should hold.

    Those of `running` are always among them, for what runs cannot be undone; more only as far as the sum over all
    replicas stays within `quota`, and not more than a fair part while others wait.
    """
    free = quota - sum(share.reserved for share in others)
    fair = max(1, fair_slots(quota, others))
    return max(running, min(running + waiting, free, fair))
