"""What happened in a test: calls, requests at the customer's endpoint, the ledger, faults. All that the checker sees.

All times are whole microseconds since the Unix epoch (UTC) on one clock: the harness's. Jobs are named `namespace/id`.
Names of ledger values are those of `chronos.history.v1.Execution`, names of rules those of `chronos.scheduler.v1.Job`.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import Any

SECOND_US = 1_000_000


class CallKind(StrEnum):
    """What was asked of Chronos."""

    CREATE = "CREATE"
    UPDATE = "UPDATE"
    PAUSE = "PAUSE"
    RESUME = "RESUME"
    DELETE = "DELETE"
    TRIGGER = "TRIGGER"
    CANCEL = "CANCEL"
    COMPLETE = "COMPLETE"
    """A target tells how a run ended that it had accepted."""


class Outcome(StrEnum):
    """What the caller knows."""

    ACKNOWLEDGED = "ACKNOWLEDGED"
    REFUSED = "REFUSED"
    """It was not done, and never will be."""
    UNKNOWN = "UNKNOWN"
    """Timed out or broke: it may or may not have been done, perhaps later."""


class Guarantee(StrEnum):
    """What a fault may do to a run."""

    AT_LEAST_ONCE = "AT_LEAST_ONCE"
    AT_MOST_ONCE = "AT_MOST_ONCE"


class Concurrency(StrEnum):
    """What happens when a run is due while another one of the job is under way."""

    ALLOW = "ALLOW"
    FORBID = "FORBID"
    REPLACE = "REPLACE"
    QUEUE = "QUEUE"


class MissedPolicy(StrEnum):
    """What happens to runs that were noticed later than the grace period."""

    IGNORE = "IGNORE"
    EXECUTE_ONE = "EXECUTE_ONE"
    EXECUTE_ALL = "EXECUTE_ALL"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRules:
    """A job as far as it decides what must happen. The schedule has the default DST policy and no jitter."""

    schedule: str
    """Cron with 5 or 6 fields, a macro, `@every`, `@at`, `@manual`; empty for a job that runs after others."""
    timezone: str = "UTC"
    guarantee: Guarantee = Guarantee.AT_LEAST_ONCE
    concurrency: Concurrency = Concurrency.FORBID
    is_enabled: bool = True
    missed: MissedPolicy = MissedPolicy.EXECUTE_ONE
    catch_up_window_us: int = 366 * 86_400 * SECOND_US
    """Missed runs older than this are not made up for."""
    catch_up_max_runs: int = 100
    """Most runs made up for at once with EXECUTE_ALL."""
    catch_up_interval_us: int = SECOND_US
    """Pause between two of them."""
    max_attempts: int = 3
    max_queued_runs: int = 10
    grace_us: int = 60 * SECOND_US
    """Runs noticed within this time after they were due run at once."""
    depends_on: tuple[str, ...] = ()
    """Jobs (`namespace/id`) that it runs after."""
    completion_us: int = 0
    """Time that targets have to complete a run after they accepted it, with 202; 0: an answer ends a run."""
    frozen_s: tuple[int, ...] = ()
    """From which second of each minute to before which one a policy lets no run of it begin; empty: at any time."""
    created_us: int = 0
    """`created_at` as Chronos says it: `@every` counts from here. 0 when it is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One API call. `answered_us` is None when no answer came."""

    kind: CallKind
    job: str
    sent_us: int
    answered_us: int | None
    outcome: Outcome
    rules: JobRules | None = None
    """What the job is once CREATE, UPDATE, PAUSE or RESUME is done; they need it, also when the outcome is UNKNOWN."""
    version: int = 0
    """Version of the job as answered; 0 when it is not known."""
    uid: str = ""
    """Identity of the job as answered."""
    execution_id: str = ""
    """Of TRIGGER (as answered), CANCEL and COMPLETE."""
    status: str = ""
    """How the run ended, with COMPLETE: `SUCCESS` or `FAILED`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """One request at the customer's endpoint."""

    began_us: int
    ended_us: int | None
    """None when it was still open at the end."""
    job: str
    execution_id: str
    scheduled_us: int
    attempt: int = 1
    """As the request says it."""
    status: int = 200
    """Status that the receiver gave; 0 when it broke off or never answered."""
    is_early_close: bool = False
    """The other side closed before it had the answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """An execution as the ledger has it at the end."""

    execution_id: str
    job: str
    uid: str
    scheduled_us: int
    status: str
    """`PENDING`, `RUNNING`, `SUCCESS`, `FAILED`, `SKIPPED`, `TIMED_OUT`, `CANCELLED` or `LOST`."""
    reason_code: str = "REASON_UNSPECIFIED"
    reason: str = ""
    cause: str = "SCHEDULE"
    delivery: int = 1
    attempts: int = 0
    skipped_until_us: int | None = None
    """Last run that it stands for."""
    skipped_count: int = 0
    completed_us: int | None = None
    parent_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultSpan:
    """A time in which something was broken on purpose. What it takes to recover comes on top (`Limits.recovery_us`)."""

    kind: str
    nodes: tuple[str, ...]
    began_us: int
    ended_us: int
    recovery_us: int | None = None
    """What it takes to recover from this one; None means `Limits.recovery_us`."""
    clock_behind_us: int = 0
    """By how much a wall clock was behind. A change that is made through it counts from so much earlier."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """A named part of the test, for lateness histograms."""

    name: str
    began_us: int
    ended_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """All that was seen from `began_us` to `ended_us`. Order inside the tuples does not matter."""

    calls: tuple[Call, ...]
    arrivals: tuple[Arrival, ...]
    records: tuple[Record, ...]
    faults: tuple[FaultSpan, ...]
    phases: tuple[Phase, ...]
    began_us: int
    judged_until_us: int
    """Runs due later are not judged: leave time to deliver and to record what is due before."""
    ended_us: int
    """After healing and settling."""
    has_ledger: bool = True
    """False when nobody could read the ledger at the end: then records are not asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What is allowed. Every span is in microseconds."""

    epsilon_us: int = SECOND_US
    """Latest arrival after the scheduled time, outside faults."""
    recovery_us: int = 5 * SECOND_US
    """What a fault may still delay after its end."""
    change_us: int = SECOND_US
    """An acknowledged change holds for runs due later than this after the answer."""
    lease_us: int = 2 * SECOND_US
    """So much longer a change may take inside a fault: an owner that is cut off goes on until its lease is in doubt."""
    clock_error_us: int = 20_000
    """How far the clocks of Chronos and of the harness may be apart."""
    breaker_us: int = 60 * SECOND_US
    """For so long after failures of the receiver, circuit breakers and retry policies may hold requests back."""
    trusted_reasons: frozenset[str] = frozenset()
    """Reason codes that are believed unchecked, for what a history does not show (`QUOTA`, `CALENDAR`…)."""


def save(history: History, path: Path) -> None:
    """Writes JSON lines: one event a line, its `kind` first."""
    path.write_text("".join(line + "\n" for line in lines_of(history)), encoding="utf-8")


def load(path: Path) -> History:
    """Reads what `save` wrote. Raises ValueError when it is something else."""
    with path.open(encoding="utf-8") as file:
        return history_of(file)


def lines_of(history: History) -> Iterator[str]:
    """The history as JSON lines, without line ends."""
    spans = {"began_us": history.began_us, "judged_until_us": history.judged_until_us, "ended_us": history.ended_us}
    yield json.dumps({"kind": "history", **spans, "has_ledger": history.has_ledger})
    for kind, events in (
        ("fault", history.faults),
        ("phase", history.phases),
        ("call", history.calls),
        ("arrival", history.arrivals),
        ("record", history.records),
    ):
        for event in events:
            values = asdict(event)
            for taken, free in RENAMED.items():
                if taken in values:
                    values[free] = values.pop(taken)
            yield json.dumps({"kind": kind, **values})


def history_of(lines: Iterable[str]) -> History:
    """Reads JSON lines. Raises ValueError when they are no history."""
    head: dict[str, Any] | None = None
    events: dict[str, list[Any]] = {kind: [] for kind in READERS}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        values = json.loads(line)
        kind = values.pop("kind", "")
        if kind == "history":
            head = values
        elif kind in READERS:
            events[kind].append(READERS[kind](values))
        else:
            raise ValueError(f"line {number}: unknown kind {kind!r}; known are history and {', '.join(READERS)}")
    if head is None:
        raise ValueError("no line of the kind 'history': the file is not complete")
    return History(
        calls=tuple(events["call"]),
        arrivals=tuple(events["arrival"]),
        records=tuple(events["record"]),
        faults=tuple(events["fault"]),
        phases=tuple(events["phase"]),
        **head,
    )


RENAMED = {"kind": "what"}
"""Fields whose name a line uses for itself."""


def _call(values: dict[str, Any]) -> Call:
    rules = values.pop("rules")
    return Call(
        kind=CallKind(values.pop("what")),
        outcome=Outcome(values.pop("outcome")),
        rules=None if rules is None else _rules(rules),
        **values,
    )


def _rules(values: dict[str, Any]) -> JobRules:
    known = {field.name for field in fields(JobRules)}
    if unknown := values.keys() - known:
        raise ValueError(f"unknown rules: {', '.join(sorted(unknown))}")
    kinds: dict[str, Callable[[Any], Any]] = {
        "guarantee": Guarantee,
        "concurrency": Concurrency,
        "missed": MissedPolicy,
        "depends_on": tuple,
        "frozen_s": tuple,
    }
    return JobRules(**{name: kinds[name](value) if name in kinds else value for name, value in values.items()})


def _fault(values: dict[str, Any]) -> FaultSpan:
    return FaultSpan(kind=values.pop("what"), nodes=tuple(values.pop("nodes")), **values)


def _record(values: dict[str, Any]) -> Record:
    return Record(parent_ids=tuple(values.pop("parent_ids", ())), **values)


READERS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "fault": _fault,
    "phase": lambda values: Phase(**values),
    "call": _call,
    "arrival": lambda values: Arrival(**values),
    "record": _record,
}
