"""The firing path of one scheduler replica with one shard, and everything around it in memory."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from chronos.dispatcher.v1 import delivery_service_pb2 as delivery
from chronos.history.v1 import execution_pb2, policy_decision_pb2
from chronos.policy.v1 import decision_service_pb2, policy_pb2
from chronos.scheduler.v1 import job_pb2, stored_job_pb2, target_pb2

from services.scheduler.domain.identity import execution_id, microseconds, moment_of
from services.scheduler.domain.occurrence import Run
from services.scheduler.domain.quota import Answer, Verdict
from services.scheduler.domain.schedule.calendar import WEEKENDS, DaySet
from services.scheduler.domain.timeline import Timeline
from services.scheduler.firing.absences import Absences
from services.scheduler.firing.admission import Admission
from services.scheduler.firing.begun import BegunVersions
from services.scheduler.firing.completions import Completions
from services.scheduler.firing.endings import Endings
from services.scheduler.firing.loads import RunLoads
from services.scheduler.firing.notes import Notes
from services.scheduler.firing.orders import Orders
from services.scheduler.firing.outbox import Outbox
from services.scheduler.firing.outcomes import Outcomes
from services.scheduler.firing.owned import OwnedShard, OwnedShards
from services.scheduler.firing.past import Past
from services.scheduler.firing.settler import Settler
from services.scheduler.firing.shard_jobs import ShardJobs
from services.scheduler.firing.shards import ShardRunner
from services.scheduler.firing.ticker import Ticker
from services.scheduler.firing.unforeseen import Unforeseen
from services.scheduler.firing.watermarks import Watermarks
from services.scheduler.policies.run_gate import RunGate
from services.scheduler.policies.run_questions import RunAsked
from services.scheduler.ports.ledger import Reason, Status
from services.scheduler.ports.orders import ShardChange
from services.scheduler.ports.policies import Decided, Operation
from tests.fakes.clock import FakeClock
from tests.fakes.dependencies import FakeDependants
from tests.fakes.namespaces import FakeNamespaceBook
from tests.fakes.scheduler import FakeJobStore, FakeLedger, FakeLink, FakeShardStore
from tests.fakes.versions import FakeCompletionStore, FakeVersionStore

Event = delivery.DeliveryEvent
Execution = execution_pb2.Execution
Question = decision_service_pb2.Question
START = datetime(2026, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
SHARD, EPOCH = 7, 42


class SettledOrders:
    """Remembers which triggers, cancels and completions were forgotten."""

    def __init__(self) -> None:
        self.settled: list[tuple[int, str]] = []
        self.cancels: list[tuple[int, str]] = []
        self.completions: list[tuple[int, str]] = []

    async def settle(self, triggers: Sequence[tuple[int, str]]) -> None:
        self.settled.extend(triggers)

    async def settle_cancels(self, cancels: Sequence[tuple[int, str]]) -> None:
        self.cancels.extend(cancels)

    async def settle_completions(self, completions: Sequence[tuple[int, str]]) -> None:
        self.completions.extend(completions)


class NoDispatchersToWaitFor:
    """All dispatchers were tried."""

    async def settled(self, *, deadline: timedelta) -> None:
        return


class FakeQuotas:
    """A number of runs that may be under way; None for no limit. Counts what is."""

    def __init__(self) -> None:
        self.limit: int | None = None
        self.refusal = ""
        self.running = 0

    def ask(self, namespace: str) -> Answer:
        if self.refusal:
            return Answer(verdict=Verdict.REFUSED, reason=self.refusal)
        if self.limit is not None and self.running >= self.limit:
            return Answer(verdict=Verdict.WAIT)
        self.running += 1
        return Answer(verdict=Verdict.GRANTED)

    def adopt(self, namespace: str) -> None:
        self.running += 1

    def release(self, namespace: str) -> None:
        self.running -= 1

    def under_way(self, namespace: str) -> int:
        return self.running


class NoPolicies:
    """A cluster without policies: nobody is asked, and there is nothing to account for."""

    revision = 1
    takes_allowed = False

    def uses(self, operation: Operation, namespace: str, tags: Mapping[str, str]) -> frozenset[str] | None:
        return None

    def can_deny(self, operation: Operation, namespace: str, tags: Mapping[str, str]) -> bool:
        return False

    async def of(self, asked: Sequence[RunAsked]) -> Sequence[Question]:
        raise AssertionError(f"{len(asked)} runs are asked about")

    async def decide(self, questions: Sequence[Question], *, draft: policy_pb2.Policy | None = None) -> Decided:
        raise AssertionError(f"{len(questions)} questions are asked")

    def add(self, decision: policy_decision_pb2.PolicyDecision) -> None:
        raise AssertionError("a decision is accounted for")


class FakeFollowers:
    """Remembers which runs began and ended."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.resumed: list[str] = []
        self.adopted: list[str] = []
        self.ended: list[tuple[str, Status, Reason]] = []

    def begin(self, shard: OwnedShard, run: Run) -> None:
        self.begun.append(run.execution_id)

    def resume(self, shard: OwnedShard, run: Run) -> None:
        self.resumed.append(run.execution_id)

    def end(self, shard: OwnedShard, run: Run, status: Status, reason: Reason) -> None:
        self.ended.append((run.execution_id, status, reason))

    def adopt(self, shard: OwnedShard, follow_ups: Iterable[stored_job_pb2.StoredFollowUp]) -> None:
        self.adopted += [follow_up.execution_id for follow_up in follow_ups]

    def noticed(self, shard: OwnedShard, follow_up: stored_job_pb2.StoredFollowUp) -> None:
        return

    def forget(self, shard: OwnedShard) -> None:
        return


class FakeRounds:
    """Remembers which jobs changed, and takes signals."""

    def __init__(self) -> None:
        self.signals: list[stored_job_pb2.StoredSignal] = []
        self.changed: list[str] = []

    def open(self, shard: OwnedShard) -> None:
        return

    def job_changed(self, shard: OwnedShard, namespace: str, job_id: str) -> None:
        self.changed.append(job_id)

    def forget(self, shard: OwnedShard) -> None:
        return

    def take(self, shard: OwnedShard, signal: stored_job_pb2.StoredSignal) -> None:
        self.signals.append(signal)


class FakeCalendarBook:
    """Calendars in a dict; `change` tells those who wait."""

    def __init__(self) -> None:
        self.days: dict[str, DaySet] = {"weekends": WEEKENDS}
        self._changes: list[frozenset[tuple[str, str]]] = []
        self._changed = asyncio.Event()

    def sets(self, namespace: str) -> Mapping[str, DaySet]:
        return self.days

    def change(self, name: str, days: DaySet) -> None:
        self.days[name] = days
        self._changes.append(frozenset({("default", name)}))
        self._changed.set()

    async def changed(self, seen: int) -> tuple[int, frozenset[tuple[str, str]]]:
        while len(self._changes) <= seen:
            self._changed.clear()
            await self._changed.wait()
        return len(self._changes), frozenset().union(*self._changes[seen:])


class Bench:
    """One scheduler replica with one shard."""

    def __init__(self) -> None:
        self.clock = FakeClock(START)
        self.store, self.shards, self.ledger = FakeJobStore(), FakeShardStore(), FakeLedger()
        self.settled, self.quotas, self.followers = SettledOrders(), FakeQuotas(), FakeFollowers()
        self.rounds, self.calendars = FakeRounds(), FakeCalendarBook()
        self.versions = FakeVersionStore(self.store)
        self.is_trusted = True
        self.timeline = Timeline()
        self.owned = OwnedShards(lambda shard, epoch: self.is_trusted)
        self.notes = Notes(self.ledger, self.clock)
        self.settler = Settler(self.settled, self.clock)  # type: ignore[arg-type]
        outcomes = Outcomes(self.owned, self.settler, self.notes)
        self.outbox = Outbox(self.owned, outcomes, limit=1000)
        self.completion_store = FakeCompletionStore()
        self.completions = Completions(
            owned=self.owned, outbox=self.outbox, ends=outcomes, notes=self.notes, settler=self.settler,
            store=self.completion_store, clock=self.clock,
        )  # fmt: skip
        self.loads = RunLoads()
        self.gate = self.make_gate()
        self.admission = Admission(
            owned=self.owned, outbox=self.outbox, notes=self.notes, settler=self.settler, policies=self.gate,
            quotas=self.quotas, followers=self.followers, accepted=self.completions, clock=self.clock,
        )  # fmt: skip
        self.gate.on_verdict(self.admission.judged)
        self.loads.count_by(self.admission.load_of)
        outcomes.subscribe(self.completions.accept, self.admission.ended)
        self.absences = Absences(self.owned, self.notes, self.clock)
        self.watermarks = Watermarks(
            store=self.shards, owned=self.owned, clock=self.clock, interval=timedelta(milliseconds=500)
        )
        self.ticker = Ticker(
            timeline=self.timeline, owned=self.owned, admission=self.admission, outbox=self.outbox, notes=self.notes,
            clock=self.clock, grace=timedelta(seconds=60), longest_nap=timedelta(milliseconds=250),
        )  # fmt: skip
        orders = Orders(
            jobs=self.store, calendars=self.calendars, admission=self.admission, notes=self.notes,
            settler=self.settler, followers=self.followers, completions=self.completions, signals=self.rounds,
            clock=self.clock,
        )  # fmt: skip
        endings = Endings(
            timeline=self.timeline, notes=self.notes, shards=self.shards, clock=self.clock, grace=timedelta(seconds=60)
        )  # fmt: skip
        past, self.begun = Past(self.versions, self.shards), BegunVersions(self.versions)
        shard_jobs = ShardJobs(
            timeline=self.timeline, absences=self.absences, past=past, endings=endings, admission=self.admission,
            rounds=self.rounds, calendars=self.calendars, clock=self.clock,
        )  # fmt: skip
        self.dependants = FakeDependants()
        self.unforeseen = Unforeseen(
            ledger=self.ledger, dependants=self.dependants, resume=self.followers.resume, clock=self.clock
        )
        self.runner = ShardRunner(
            shards=self.shards, jobs=self.store, calendars=self.calendars, ledger=self.ledger,
            dispatchers=NoDispatchersToWaitFor(), owned=self.owned, shard_jobs=shard_jobs, past=past,
            begun=self.begun, endings=endings, admission=self.admission,
            orders=orders, follow_ups=self.followers, rounds=self.rounds, unforeseen=self.unforeseen,
            outbox=self.outbox, watermarks=self.watermarks, clock=self.clock,
        )  # fmt: skip

    def make_gate(self) -> RunGate:
        """The gate of policies: here there are none."""
        nobody = NoPolicies()
        return RunGate(
            book=nobody, policies=nobody, facts=nobody, namespaces=FakeNamespaceBook(), accounts=nobody,
            clock=self.clock,
        )  # fmt: skip

    def link(self, name: str = "d1", credit: int = 1000) -> FakeLink:
        """A dispatcher with credit."""
        link = FakeLink(name)
        self.outbox.link_opened(link)
        self.outbox.link_answered(link, delivery.DeliverResponse(credit=credit))
        return link

    def report(
        self, link: FakeLink, kind: "Event.Kind.ValueType", *ids: str, status: Status = Execution.SUCCESS
    ) -> None:
        """Lets a dispatcher say what became of executions."""
        given = status if kind == Event.FINISHED else Execution.STATUS_UNSPECIFIED
        events = [Event(execution_id=identity, kind=kind, status=given) for identity in ids]
        self.outbox.link_answered(link, delivery.DeliverResponse(events=events))

    def order(self, **orders: Sequence[object]) -> None:
        """Lets something to do appear in etcd."""
        self.shards.trigger_changes.put_nowait(ShardChange(is_complete=False, **orders))  # type: ignore[arg-type]

    def change(self, *jobs: stored_job_pb2.StoredJob, removed: Sequence[tuple[str, str]] = ()) -> None:
        """Lets jobs change in etcd."""
        self.shards.job_changes.put_nowait(ShardChange(is_complete=False, jobs=jobs, removed=removed))

    @asynccontextmanager
    async def owning(
        self, *jobs: stored_job_pb2.StoredJob, orders: ShardChange | None = None
    ) -> AsyncIterator[asyncio.Task[None]]:
        """Owns the shard, with every loop running."""
        self.shards.job_changes.put_nowait(ShardChange(is_complete=True, jobs=jobs))
        self.shards.trigger_changes.put_nowait(orders or ShardChange(is_complete=True))
        loops = (
            self.ticker.run, self.notes.run, self.settler.run, self.watermarks.run, self.absences.run,
            self.admission.run, self.completions.run, self.gate.run,
        )  # fmt: skip
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(loop()) for loop in loops]
            runner = group.create_task(self.runner.run(SHARD, EPOCH))
            await self.clock.advance(timedelta(milliseconds=1))
            try:
                yield runner
            finally:
                self.is_trusted = False
                for task in (runner, *tasks):
                    task.cancel()

    def watermark(self) -> datetime:
        """How far the shard is recorded."""
        return self.shards.watermarks[SHARD][1]

    def noted(self, status: Status = Execution.SKIPPED) -> list[Execution]:
        """What the scheduler itself put into the ledger."""
        return [note.execution for note in self.ledger.notes if note.execution.status == status]


def stored(
    name: str = "a", schedule: str = "* * * * * *", *, version: int = 1, **fields: object
) -> stored_job_pb2.StoredJob:
    """A job made at START that lets its runs overlap."""
    job = job_pb2.Job(
        namespace="default",
        id=name,
        uid=f"uid-{name}",
        name=name,
        schedule=schedule,
        timezone="UTC",
        version=version,
        enabled=True,
        concurrency=job_pb2.Job.ALLOW,
        webhook=target_pb2.WebhookTarget(url="https://example.com"),
    )
    job.MergeFrom(job_pb2.Job(**fields))  # type: ignore[arg-type]
    job.created_at.FromDatetime(START)
    message = stored_job_pb2.StoredJob(job=job)
    message.effective_at.FromDatetime(START)
    return message


def unfinished(number: int, status: Status, *, name: str = "a") -> Execution:
    """An execution of the second `number` after START that an earlier owner began."""
    at = START + number * SECOND
    execution = Execution(
        id=identity_at(number, name=name), namespace="default", job_id=name, job_uid=f"uid-{name}", status=status,
        delivery=1, cause=Execution.SCHEDULE, attempts=[execution_pb2.Attempt(number=1)],
    )  # fmt: skip
    execution.scheduled_time.FromDatetime(at)
    return execution


def identity_at(number: float, *, name: str = "a") -> str:
    """The id of a job's run at a number of seconds after START."""
    return execution_id(f"uid-{name}", microseconds(START + number * SECOND))


def trigger(identity: str, uid: str = "uid-a", **fields: object) -> stored_job_pb2.StoredTrigger:
    """A run asked for at START."""
    message = stored_job_pb2.StoredTrigger(
        execution_id=identity, namespace="default", job_id="a", job_uid=uid, **fields  # type: ignore[arg-type]
    )  # fmt: skip
    message.time.FromDatetime(START)
    return message


def times(link: FakeLink) -> list[datetime]:
    """The scheduled times of what a dispatcher was sent."""
    return [moment_of(run.scheduled_us) for run in link.sent]


def ids(runs: list[Run]) -> list[str]:
    """The execution ids of runs."""
    return [run.execution_id for run in runs]
