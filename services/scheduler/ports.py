"""What the use cases need from outside."""

from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol, TypeAlias

from chronos.history.v1 import execution_pb2, ledger_service_pb2
from chronos.scheduler.v1 import calendar_pb2, namespace_pb2, stored_job_pb2

from services.scheduler.domain.occurrence import Run
from services.scheduler.domain.quota import Quota, Share
from services.scheduler.domain.schedule.calendar import DaySet
from services.scheduler.domain.schedule.job_schedule import JobSchedule

Status: TypeAlias = "execution_pb2.Execution.Status.ValueType"
Reason: TypeAlias = "execution_pb2.Execution.Reason.ValueType"


@dataclass(frozen=True, slots=True, kw_only=True)
class Versioned:
    """A stored job with the revision that wrote it."""

    stored: stored_job_pb2.StoredJob
    revision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPage:
    """Some jobs of a namespace, ordered by id: up to `last_id`, and whether others follow."""

    jobs: Sequence[Versioned]
    last_id: str
    has_more: bool


class JobStore(Protocol):
    """Jobs, strictly serializable: a read sees every write that was acknowledged before."""

    async def insert(self, stored: stored_job_pb2.StoredJob) -> Versioned:
        """Adds a job. Raises AlreadyExists; answers the first job when `request_id` is repeated."""

    async def get(self, namespace: str, job_id: str) -> Versioned | None:
        """The job, or None."""

    async def page(self, namespace: str, *, after_id: str, limit: int) -> JobPage:
        """The jobs whose id comes after `after_id`."""

    async def replace(self, stored: stored_job_pb2.StoredJob, *, revision: int) -> Versioned:
        """Writes a job over the version that `revision` wrote. Raises Stale when there is another by now."""

    async def delete(self, namespace: str, job_id: str, *, revision: int) -> None:
        """Removes that version of a job. Raises Stale when there is another by now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """A run that is promised: the trigger, its shard, and the epoch of the shard's owner (0 when there is none)."""

    trigger: stored_job_pb2.StoredTrigger
    shard: int
    epoch: int


class TriggerStore(Protocol):
    """Runs that were asked for and are not yet recorded."""

    async def add(self, trigger: stored_job_pb2.StoredTrigger, *, request_id: str) -> Promise:
        """Makes a trigger durable; answers the first one when `request_id` is repeated within 24 h."""

    async def add_many(self, triggers: Sequence[stored_job_pb2.StoredTrigger]) -> Sequence[Promise]:
        """Makes triggers of one job durable, in their order; one whose execution is promised already stays as it is.

        Raises Unavailable: then some may be promised, and it can be repeated.
        """

    async def settle(self, triggers: Sequence[tuple[int, str]]) -> None:
        """Forgets triggers, given as (shard, execution id), whose executions are recorded."""

    async def settle_cancels(self, cancels: Sequence[tuple[int, str]]) -> None:
        """Forgets wishes to stop executions, given as (shard, execution id), which have ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardChange:
    """What changed in a shard. With `is_complete`, everything that is there; else only the difference."""

    is_complete: bool
    jobs: Sequence[stored_job_pb2.StoredJob] = ()
    removed: Sequence[tuple[str, str]] = ()
    triggers: Sequence[stored_job_pb2.StoredTrigger] = ()
    cancels: Sequence[stored_job_pb2.StoredCancel] = ()
    follow_ups: Sequence[stored_job_pb2.StoredFollowUp] = ()
    signals: Sequence[stored_job_pb2.StoredSignal] = ()


class ShardStore(Protocol):
    """What the owner of a shard reads and writes."""

    def jobs(self, shard: int) -> AsyncGenerator[ShardChange, None]:
        """The shard's jobs: all of them first, then every change."""

    def triggers(self, shard: int) -> AsyncGenerator[ShardChange, None]:
        """What the shard's owner is to do: everything first (triggers, cancels, follow-ups, signals), then what comes."""

    async def watermark(self, shard: int) -> datetime | None:
        """How far the shard is recorded; None when nobody ever said."""

    async def write_watermarks(self, watermarks: Mapping[int, tuple[int, datetime]]) -> None:
        """Writes watermarks, given as shard → (epoch, moment), each only if that epoch still owns its shard."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """What history knows about a shard at the begin of an epoch."""

    unfinished: Sequence[execution_pb2.Execution] = ()
    recorded: frozenset[str] = field(default_factory=frozenset)


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """Something about an execution that the scheduler itself records: promised, skipped or failed."""

    execution: execution_pb2.Execution
    shard: int
    epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Executions that history knows, the newest scheduled time first, with their attempts.

    `definitions`, when asked for, has how each of them was delivered, at the same place; empty ones where nothing was
    recorded.
    """

    executions: Sequence[execution_pb2.Execution] = ()
    definitions: Sequence[ledger_service_pb2.Definition] = ()


class Ledger(Protocol):
    """History, as the scheduler uses it."""

    async def seal(self, shard: int, epoch: int, watermark: datetime) -> Sealed:
        """Begins an epoch. Raises WrongState when a newer one is sealed, Unavailable when history is away."""

    async def record(self, notes: Sequence[Note]) -> None:
        """Returns when the notes are durable. Raises Unavailable."""

    async def find(
        self,
        namespace: str,
        *,
        job_id: str = "",
        ids: Sequence[str] = (),
        start: datetime | None = None,
        end: datetime | None = None,
        limit: int = 1000,
        with_definitions: bool = False,
        with_stretches: bool = False,
    ) -> Found:
        """The newest `limit` (at most 5,000) executions of a job, or those with these `ids`, or both at once.

        Due at or after `start` and before `end`. With stretches: also those that stand for skipped runs of which the
        last is due at or after `start`. Raises InvalidArgument without both `job_id` and `ids`, Unavailable when
        history is away.
        """


class Dispatchers(Protocol):
    """All dispatchers that are alive."""

    async def settled(self, *, deadline: timedelta) -> None:
        """Returns once every known dispatcher has been tried, or at the deadline."""


class DispatcherLink(Protocol):
    """An open stream to one dispatcher."""

    @property
    def instance(self) -> str:
        """The dispatcher's name."""

    def send(self, runs: Sequence[Run]) -> None:
        """Hands runs over. Never blocks; the link keeps the order."""

    def adopt(self, execution_ids: Sequence[str]) -> None:
        """Asks which of these it holds; the answers come as events."""

    def cancel(self, execution_id: str, reason: str, code: Reason) -> None:
        """Asks it to stop an execution; its end comes as an event."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionPage:
    """Some versions of a job, the newest first, and whether older ones follow."""

    versions: Sequence[stored_job_pb2.StoredJob]
    has_more: bool


class VersionStore(Protocol):
    """What jobs were: the first version and the last 50 of each job that is there. JobStore writes them."""

    async def page(self, namespace: str, job_id: str, *, below: int, limit: int) -> VersionPage:
        """The newest versions whose number is below `below`; 0 means all."""

    async def get(self, namespace: str, job_id: str, version: int) -> stored_job_pb2.StoredJob | None:
        """That version, or None when it is not kept."""

    async def numbers(self, namespace: str, job_id: str) -> Sequence[int]:
        """Which versions are kept, rising."""


class CancelStore(Protocol):
    """Wishes to stop executions, and what they may be about."""

    async def add(self, cancel: stored_job_pb2.StoredCancel) -> None:
        """Makes a wish durable. One that is there already stays as it is."""

    async def promised(self, namespace: str, execution_id: str) -> stored_job_pb2.StoredTrigger | None:
        """The promise of an execution that may have no record yet; None when there is none in that namespace."""


class Schedules(Protocol):
    """The schedules of stored jobs, with the calendars that they speak of."""

    async def of(self, stored: stored_job_pb2.StoredJob) -> JobSchedule | None:
        """When that version of a job runs; None when it has no times of its own. Raises ScheduleError, Unavailable."""


class DependencyStore(Protocol):
    """Who depends on whom, strictly serializable."""

    async def missing(self, namespace: str, job_ids: Sequence[str]) -> frozenset[str]:
        """Those of the jobs that do not exist."""

    async def parents_below(self, namespace: str, job_id: str) -> Mapping[str, Collection[str]]:
        """The jobs that depend on `job_id`, directly or over others, each with those on the way that it depends on."""

    async def children(self, namespace: str, job_id: str, *, limit: int) -> Sequence[str]:
        """The first `limit` jobs that depend directly on `job_id`, in the order of their ids."""


class DependantsBook(Protocol):
    """Who depends on whom, at hand without waiting; a moment behind the store."""

    def children_of(self, namespace: str, job_id: str) -> tuple[str, ...]:
        """The jobs that depend on `job_id`."""


class FollowUpStore(Protocol):
    """Runs whose end other jobs wait for, and the news of it. All raise Unavailable, and may be repeated."""

    async def begin(self, shard: int, epoch: int, follow_ups: Sequence[stored_job_pb2.StoredFollowUp]) -> bool:
        """Makes them durable; False when the shard has another owner by now."""

    async def end(
        self, shard: int, follow_up: stored_job_pb2.StoredFollowUp, signals: Sequence[stored_job_pb2.StoredSignal]
    ) -> bool:
        """Puts the news and forgets the follow-up; False, and nothing done, when it was forgotten before."""

    async def tell(self, signals: Sequence[stored_job_pb2.StoredSignal]) -> None:
        """Puts news of a run that has no follow-up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionedRound:
    """What a job has heard of those that it depends on, with the revision that wrote it; 0 when nothing is stored."""

    namespace: str
    job_id: str
    stored: stored_job_pb2.StoredRound
    revision: int


class RoundStore(Protocol):
    """What jobs have heard of those that they depend on. All raise Unavailable."""

    async def rounds(self, shard: int) -> Sequence[VersionedRound]:
        """What is stored for the jobs of a shard."""

    async def find(self, shard: int, namespace: str, job_id: str) -> VersionedRound:
        """What is stored for a job."""

    async def commit(
        self,
        shard: int,
        epoch: int,
        rounds: VersionedRound,
        *,
        taken: Sequence[stored_job_pb2.StoredSignal],
        triggers: Sequence[stored_job_pb2.StoredTrigger],
    ) -> VersionedRound | None:
        """At one moment: stores the rounds over that revision, forgets the signals, and promises the triggers.

        An empty round is deleted. None, and nothing done, when the rounds were changed in between or the shard has
        another owner.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionedNamespace:
    """A stored namespace with the revision that wrote it; 0 when it was never created."""

    stored: namespace_pb2.Namespace
    revision: int


class NamespaceStore(Protocol):
    """Namespaces that were created, strictly serializable."""

    async def get(self, namespace_id: str) -> VersionedNamespace | None:
        """The namespace, or None."""

    async def all(self) -> Sequence[VersionedNamespace]:
        """Every namespace, in the order of the ids."""

    async def put(self, stored: namespace_pb2.Namespace, *, revision: int) -> VersionedNamespace:
        """Writes it over the version that `revision` wrote (0: none). Raises Stale when that is not the present one."""

    async def delete(self, namespace_id: str, *, revision: int) -> None:
        """Removes that version. Raises Stale, or WrongState while jobs use it."""


class NamespaceBook(Protocol):
    """The limits of namespaces, at hand without waiting; a moment behind the store."""

    def quotas_of(self, namespace_id: str) -> Quota:
        """The limits; none for a namespace that was never created."""

    @property
    def version(self) -> int:
        """Grows with each change."""


class QuotaStore(Protocol):
    """What replicas have reserved of the quotas of namespaces. All raise Unavailable, and may be repeated."""

    async def reserve_executions(self, namespace: str, hour: str, *, wanted: int, quota: int) -> int:
        """Takes up to `wanted` executions of an hour; together replicas never get more than `quota`."""

    async def shares(self, namespace: str) -> tuple[Mapping[str, Share], int]:
        """What each replica has of the concurrent runs, by instance; and a revision for `put_share`."""

    async def put_share(self, namespace: str, share: Share, *, revision: int) -> bool:
        """Writes this replica's share; False, and nothing done, when another one was written since `revision`."""


class JobFinder(Protocol):
    """Jobs, for use cases that only look."""

    async def find(self, namespace: str, job_id: str) -> Versioned:
        """The stored job, secrets included; an empty namespace means `default`. Raises NotFound."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionedCalendar:
    """A stored calendar with the revision that wrote it."""

    stored: calendar_pb2.Calendar
    revision: int


class CalendarStore(Protocol):
    """Calendars, strictly serializable. `weekends` is none of them: it is built in."""

    async def insert(self, calendar: calendar_pb2.Calendar) -> VersionedCalendar:
        """Adds a calendar. Raises AlreadyExists."""

    async def get(self, namespace: str, calendar_id: str) -> VersionedCalendar | None:
        """The calendar, or None."""

    async def page(self, namespace: str, *, after_id: str, limit: int) -> tuple[Sequence[VersionedCalendar], bool]:
        """The calendars whose id comes after `after_id`, in the order of ids, and whether others follow."""

    async def replace(self, calendar: calendar_pb2.Calendar, *, revision: int) -> VersionedCalendar:
        """Writes a calendar over the version that `revision` wrote. Raises Stale when there is another by now."""

    async def delete(self, namespace: str, calendar_id: str, *, revision: int) -> None:
        """Removes that version of a calendar. Raises Stale when there is another by now."""

    async def day_sets(self, namespace: str, ids: Collection[str]) -> Mapping[str, DaySet]:
        """The days of those of these calendars that there are, `weekends` included. For checks: reads the store."""


class CalendarBook(Protocol):
    """The calendars of all namespaces, at hand without waiting; a moment behind the store."""

    @property
    def version(self) -> int:
        """Grows with each change; 0 until the calendars were read once."""

    def sets(self, namespace: str) -> Mapping[str, DaySet]:
        """The calendars of a namespace by id; always with `weekends`."""

    async def changed(self, seen: int) -> tuple[int, frozenset[tuple[str, str]]]:
        """Waits until `version` is not `seen`; then the new version, and what changed since as (namespace, id)."""


class JobScan(Protocol):
    """All jobs of all namespaces, for those who look at the whole cluster."""

    def all_jobs(self) -> AsyncGenerator[Sequence[stored_job_pb2.StoredJob], None]:
        """Every job, in pages. Not of one moment: a job that changes meanwhile may be seen before or after."""
