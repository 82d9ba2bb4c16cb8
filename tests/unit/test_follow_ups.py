"""From the end of a run to the runs that follow from it, through etcd, and through every crash on the way."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from chronos.history.v1 import execution_pb2
from chronos.scheduler.v1 import job_pb2, run_rules_pb2, stored_job_pb2

from libs.etcd import keys
from libs.etcd.transactions import Compare, Operation, TxnResult
from libs.etcd.values import KeyValue
from services.scheduler.adapters.etcd_follow_ups import EtcdFollowUpStore
from services.scheduler.adapters.etcd_rounds import EtcdRoundStore
from services.scheduler.convert.firing import deleted_job
from services.scheduler.domain.identity import microseconds, shard_of
from services.scheduler.domain.occurrence import Cause, Concurrency, Run
from services.scheduler.firing.follow_ups import FollowUps
from services.scheduler.firing.owned import OwnedShard, marker_of
from services.scheduler.firing.rounds import Rounds
from services.scheduler.ports.ledger import Found
from tests.fakes.clock import FakeClock
from tests.fakes.dependencies import FakeDependants
from tests.fakes.etcd import FakeEtcd
from tests.fakes.scheduler import FakeJobStore

Execution = execution_pb2.Execution
SHARDS = 4
SPACE = "default"
SECOND = timedelta(seconds=1)


class Recorded:
    """History: the executions that a test says were recorded."""

    def __init__(self) -> None:
        self.executions: dict[str, execution_pb2.Execution] = {}
        self.questions = 0

    async def find(self, namespace: str, *, ids: Sequence[str] = (), **_: object) -> Found:
        self.questions += 1
        return Found(executions=[self.executions[name] for name in ids if name in self.executions])

    def add(self, run: Run, status: int, clock: FakeClock) -> None:
        execution = Execution(id=run.execution_id, namespace=SPACE, job_id=run.job.id)
        execution.status = status  # type: ignore[assignment]
        execution.completed_at.FromDatetime(clock.now())
        self.executions[run.execution_id] = execution


class MortalEtcd(FakeEtcd):
    """A client that does so many calls and then none any more; the last one may be done without an answer."""

    def __init__(self, etcd: FakeEtcd, calls: int, *, is_last_done: bool) -> None:
        super().__init__(store=etcd._store)
        self.calls_left, self._is_last_done = calls, is_last_done

    async def txn(
        self, compares: Sequence[Compare], success: Sequence[Operation], failure: Sequence[Operation] = ()
    ) -> TxnResult:
        self.use_up()
        result = await super().txn(compares, success, failure)
        if not self.calls_left and self._is_last_done:
            self.is_away = True
            await self._arrive()
        return result

    async def get(self, key: bytes) -> KeyValue | None:
        self.use_up()
        return await super().get(key)

    def use_up(self) -> None:
        if not self.calls_left:
            self.is_away = True
        self.calls_left -= 1 if self.calls_left else 0


class Replica:
    """A scheduler that owns every shard, from when it is made."""

    def __init__(self, world: "World", etcd: FakeEtcd, epochs: dict[int, int]) -> None:
        self.world = world
        self.shards = {number: OwnedShard(number, epoch, 0) for number, epoch in epochs.items()}
        store = EtcdFollowUpStore(etcd, SHARDS)
        self.follow_ups = FollowUps(store, world.dependants, world.ledger, world.jobs, world.clock)  # type: ignore[arg-type]
        self.rounds = Rounds(EtcdRoundStore(etcd), world.jobs, world.clock)
        for shard in self.shards.values():
            self.rounds.open(shard)

    def shard(self, job_id: str) -> OwnedShard:
        return self.shards[shard_of(SPACE, job_id, SHARDS)]

    def run_of(self, job_id: str, number: int = 1) -> Run:
        return Run(
            execution_id=f"{job_id}-{number}",
            job=deleted_job(SPACE, job_id, f"uid-{job_id}"),
            shard=self.shard(job_id).shard,
            epoch=self.shard(job_id).epoch,
            scheduled_us=microseconds(self.world.clock.now()),
            cause=Cause.SCHEDULE,
            concurrency=Concurrency.ALLOW,
            traceparent="",
        )

    def begin(self, job_id: str, number: int = 1) -> None:
        self.follow_ups.begin(self.shard(job_id), self.run_of(job_id, number))

    def end(self, job_id: str, number: int = 1, *, status: int = Execution.SUCCESS, reason: int = 0) -> None:
        run = self.run_of(job_id, number)
        self.world.ledger.add(run, status, self.world.clock)
        self.follow_ups.end(self.shard(job_id), run, status, reason)  # type: ignore[arg-type]

    def take_over(self, held_back: Sequence[Run]) -> None:
        """What the runner of a shard does: follow-ups that are there, and recorded runs past the watermark."""
        for item in self.world.under(keys.TRIGGERS):
            if item.key.endswith(b"/followup"):
                follow_up = stored_job_pb2.StoredFollowUp.FromString(item.value)
                self.follow_ups.adopt(self.shard(follow_up.job_id), [follow_up])
        for run in held_back:
            self.follow_ups.resume(self.shard(run.job.id), run)

    def deliver(self) -> None:
        for signal in self.world.signals():
            self.rounds.take(self.shard(signal.job_id), signal)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(loop()) for loop in (self.follow_ups.run, self.rounds.run)]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()

    async def work(self, span: timedelta = timedelta(seconds=4)) -> None:
        """Lets time pass, with every signal delivered as its watch would."""
        end = self.world.clock.now() + span
        while self.world.clock.now() < end:
            self.deliver()
            await self.world.clock.advance(timedelta(milliseconds=100))


class World:
    """The jobs `a` and `b`, and `c`, which depends on both."""

    def __init__(self, **dependencies: object) -> None:
        self.clock = FakeClock()
        self.etcd = FakeEtcd(self.clock)
        self.ledger, self.jobs = Recorded(), FakeJobStore()
        self.dependants = FakeDependants({(SPACE, "a"): ["c"], (SPACE, "b"): ["c"]})
        self.dependencies = run_rules_pb2.Dependencies(depends_on=["a", "b"], **dependencies)  # type: ignore[arg-type]
        self.put_job()

    def put_job(self, uid: str = "uid-c", *, is_enabled: bool = True) -> None:
        job = job_pb2.Job(namespace=SPACE, id="c", uid=uid, enabled=is_enabled, dependencies=self.dependencies)
        self.jobs._write(stored_job_pb2.StoredJob(job=job))

    async def replica(self, etcd: FakeEtcd | None = None) -> Replica:
        epochs = {}
        for number in range(SHARDS):
            await self.etcd.delete(keys.shard_owner(number))
            epochs[number] = await self.etcd.put(keys.shard_owner(number), b"")
        return Replica(self, etcd or self.etcd, epochs)

    def under(self, prefix: bytes) -> list[KeyValue]:
        return self.etcd._store.under(prefix)

    def follow_ups(self) -> list[str]:
        return [item.key.decode() for item in self.under(keys.TRIGGERS) if item.key.endswith(b"/followup")]

    def signals(self) -> list[stored_job_pb2.StoredSignal]:
        found = [item for item in self.under(keys.TRIGGERS) if b"/signal/" in item.key]
        return [stored_job_pb2.StoredSignal.FromString(item.value) for item in found]

    def triggers(self) -> list[stored_job_pb2.StoredTrigger]:
        found = [item for item in self.under(keys.TRIGGERS) if item.key.count(b"/") == 5]
        return [stored_job_pb2.StoredTrigger.FromString(item.value) for item in found]


async def test_a_run_that_follows_is_promised_when_all_have_succeeded() -> None:
    world = World()
    replica = await world.replica()
    async with replica.running():
        for parent in ("a", "b"):
            replica.begin(parent)
            replica.end(parent)
        await replica.work()
    (trigger,) = world.triggers()
    assert (trigger.job_id, trigger.job_uid, trigger.cause) == ("c", "uid-c", Execution.DEPENDENCY)
    assert list(trigger.parent_execution_ids) == ["a-1", "b-1"]
    assert trigger.skip_reason == ""
    assert world.follow_ups() == []
    assert world.signals() == []


async def test_a_failed_parent_makes_a_run_that_is_only_explained() -> None:
    world = World()
    replica = await world.replica()
    async with replica.running():
        replica.begin("a")
        replica.end("a", status=Execution.TIMED_OUT)
        await replica.work()
    (trigger,) = world.triggers()
    assert trigger.skip_code == Execution.DEPENDENCY_FAILED
    assert "a ended as TIMED_OUT (run a-1)" in trigger.skip_reason


async def test_the_watermark_waits_for_the_follow_up() -> None:
    world = World()
    replica = await world.replica()
    run, shard = replica.run_of("a"), replica.shard("a")
    shard.horizon_us = run.scheduled_us + 10
    world.etcd.is_away = True
    async with replica.running():
        replica.begin("a")
        await replica.work(SECOND)
        assert shard.watermark_us() == run.scheduled_us - 1
        world.etcd.is_away = False
        await replica.work(2 * SECOND)
        assert shard.watermark_us() == shard.horizon_us
    assert len(world.follow_ups()) == 1


async def test_a_job_without_dependants_costs_nothing() -> None:
    world = World()
    replica = await world.replica()
    revision = world.etcd._store.revision
    async with replica.running():
        replica.begin("c")
        replica.end("c")
        await replica.work()
    assert replica.shard("c").unrecorded == {}
    assert world.etcd._store.revision == revision


async def test_many_runs_without_dependants_that_are_taken_over_cost_nothing() -> None:
    world = World()
    replica = await world.replica()
    revision = world.etcd._store.revision
    async with replica.running():
        for number in range(10_000):
            replica.begin("c", number)
        await replica.work()
    assert replica.shard("c").unrecorded == {}
    assert world.etcd._store.revision == revision
    assert world.ledger.questions == 0


@pytest.mark.parametrize(
    ("reason", "is_told"), [(Execution.DEPENDENCY_FAILED, True), (Execution.OVERLAP, False), (Execution.PAUSED, False)]
)
async def test_of_skipped_runs_only_those_of_a_failed_dependency_are_told(reason: int, is_told: bool) -> None:
    world = World()
    replica = await world.replica()
    async with replica.running():
        replica.begin("a")
        replica.end("a", status=Execution.SKIPPED, reason=reason)
        await replica.work()
    assert bool(world.triggers()) == is_told
    assert world.follow_ups() == []


async def test_a_job_that_came_to_depend_while_the_run_was_under_way_is_told_too() -> None:
    world = World(condition=run_rules_pb2.Dependencies.ANY_SUCCESS)
    children, world.dependants.children = world.dependants.children, {}
    replica = await world.replica()
    async with replica.running():
        replica.begin("a")
        world.dependants.children = children
        replica.end("a")
        await replica.work()
    assert len(world.triggers()) == 1


async def test_a_follow_up_that_is_put_after_it_was_told_is_forgotten() -> None:
    """A write that timed out may still be on its way; the next owner would tell it once more, however late."""
    world = World()
    replica = await world.replica()
    shard = replica.shard("a")
    async with replica.running():
        replica.begin("a")
        await replica.work(SECOND)
        (item,) = [item for item in world.under(keys.TRIGGERS) if item.key.endswith(b"/followup")]
        follow_up = stored_job_pb2.StoredFollowUp.FromString(item.value)
        replica.follow_ups.noticed(shard, follow_up)
        await replica.work(SECOND)
        assert len(world.follow_ups()) == 1
        replica.end("a")
        await replica.work(SECOND)
        assert world.follow_ups() == []
        await world.etcd.put(item.key, item.value)
        world.etcd.is_away = True
        replica.follow_ups.noticed(shard, follow_up)
        await replica.work(SECOND)
        world.etcd.is_away = False
        await replica.work(2 * SECOND)
        assert world.follow_ups() == []


async def test_an_owner_that_was_replaced_forgets_no_follow_up() -> None:
    world = World()
    old, new = await world.replica(), await world.replica()
    async with new.running():
        new.begin("a")
        await new.work(SECOND)
    async with old.running():
        (item,) = [item for item in world.under(keys.TRIGGERS) if item.key.endswith(b"/followup")]
        old.follow_ups.noticed(old.shard("a"), stored_job_pb2.StoredFollowUp.FromString(item.value))
        await old.work(SECOND)
    assert len(world.follow_ups()) == 1


async def test_that_a_job_came_to_depend_survives_the_owner_of_the_run() -> None:
    world = World(condition=run_rules_pb2.Dependencies.ANY_SUCCESS)
    world.dependants.children = {}
    first = await world.replica()
    async with first.running():
        first.begin("a")
        await first.work(SECOND)
        assert world.follow_ups() == []
        world.dependants.add(SPACE, "a", "c")
        await first.work(SECOND)
        assert len(world.follow_ups()) == 1
    world.ledger.add(first.run_of("a"), Execution.SUCCESS, world.clock)
    second = await world.replica()
    async with second.running():
        second.take_over([])
        await second.work()
    assert len(world.triggers()) == 1
    assert world.follow_ups() == []


async def taken_over(world: World) -> Replica:
    """The second owner of a run that the first one has begun."""
    first = await world.replica()
    async with first.running():
        first.begin("a")
        await first.work(SECOND)
    second = await world.replica()
    second.take_over([])
    return second


async def test_a_follow_up_of_an_earlier_owner_ends_as_soon_as_its_run_is_explained() -> None:
    world = World()
    second = await taken_over(world)
    async with second.running():
        await world.clock.advance(timedelta(minutes=10))
        second.end("a", status=Execution.SKIPPED, reason=Execution.PAUSED)
        await second.work(SECOND)
        assert world.follow_ups() == []
    assert world.signals() == []


@pytest.mark.parametrize("uid", ["uid-a", "another"])
async def test_only_a_run_whose_job_is_gone_is_forgotten_when_history_never_learns_of_it(uid: str) -> None:
    world = World()
    world.jobs._write(stored_job_pb2.StoredJob(job=job_pb2.Job(namespace=SPACE, id="a", uid=uid)))
    second = await taken_over(world)
    async with second.running():
        await world.clock.advance(timedelta(hours=2))
        assert len(world.follow_ups()) == (1 if uid == "uid-a" else 0)
    assert world.signals() == []


async def test_an_idle_loop_does_not_wake() -> None:
    world = World()
    replica = await world.replica()
    async with replica.running():
        await replica.work()
        assert world.clock.sleeping == 0


async def test_a_round_that_waits_too_long_is_closed_with_its_reason() -> None:
    world = World()
    world.dependencies.timeout.FromTimedelta(timedelta(minutes=1))
    world.put_job()
    replica = await world.replica()
    async with replica.running():
        replica.begin("a")
        replica.end("a")
        await replica.work(timedelta(seconds=59))
        assert world.triggers() == []
        await replica.work(timedelta(seconds=5))
    (trigger,) = world.triggers()
    assert "b did not end within 1m" in trigger.skip_reason


async def test_a_new_owner_closes_rounds_that_are_overdue() -> None:
    world = World()
    world.dependencies.timeout.FromTimedelta(timedelta(minutes=1))
    world.put_job()
    first = await world.replica()
    async with first.running():
        first.begin("a")
        first.end("a")
        await first.work()
    world.clock.jump(timedelta(hours=1))
    second = await world.replica()
    async with second.running():
        await second.work()
    assert len(world.triggers()) == 1


async def test_an_edit_of_what_it_depends_on_takes_effect_on_the_open_round() -> None:
    world = World()
    replica = await world.replica()
    async with replica.running():
        replica.begin("a")
        replica.end("a")
        await replica.work()
        assert world.triggers() == []
        world.dependencies.ClearField("depends_on")
        world.dependencies.depends_on.append("a")
        world.put_job()
        replica.rounds.job_changed(replica.shard("c"), SPACE, "c")
        await replica.work()
    assert list(world.triggers()[0].parent_execution_ids) == ["a-1"]


async def test_a_job_that_was_created_anew_starts_afresh() -> None:
    world = World()
    replica = await world.replica()
    async with replica.running():
        replica.begin("a")
        replica.end("a")
        await replica.work()
        world.put_job(uid="other")
        replica.begin("b")
        replica.end("b")
        await replica.work()
    assert world.triggers() == []


async def test_what_is_left_of_a_deleted_job_is_forgotten() -> None:
    world = World()
    replica = await world.replica()
    async with replica.running():
        replica.begin("a")
        replica.end("a")
        await replica.work()
        world.jobs.jobs.clear()
        replica.rounds.job_changed(replica.shard("c"), SPACE, "c")
        replica.begin("b")
        replica.end("b")
        await replica.work()
    assert world.under(keys.ROUNDS) == world.under(keys.TRIGGERS) == []


async def test_a_disabled_job_is_explained_as_paused() -> None:
    world = World()
    world.put_job(is_enabled=False)
    replica = await world.replica()
    async with replica.running():
        for parent in ("a", "b"):
            replica.begin(parent)
            replica.end(parent)
        await replica.work()
    assert world.triggers()[0].skip_code == Execution.PAUSED


async def test_nobody_decides_for_a_shard_that_has_another_owner() -> None:
    world = World(condition=run_rules_pb2.Dependencies.ANY_COMPLETE)
    old = await world.replica()
    await world.replica()
    async with old.running():
        old.begin("a")
        old.rounds.take(
            old.shard("c"),
            stored_job_pb2.StoredSignal(
                namespace=SPACE, job_id="c", parent_id="a", execution_id="x", status=Execution.SUCCESS
            ),
        )
        await old.work()
    assert world.triggers() == []
    assert world.follow_ups() == []


async def test_a_run_that_history_does_not_know_yet_is_asked_for_again() -> None:
    world = World(condition=run_rules_pb2.Dependencies.ANY_COMPLETE)
    first = await world.replica()
    async with first.running():
        first.begin("a")
        await first.work()
    second = await world.replica()
    second.take_over([])
    async with second.running():
        await second.work()
        assert world.triggers() == []
        world.ledger.add(second.run_of("a"), Execution.LOST, world.clock)
        await second.work(timedelta(seconds=40))
    assert len(world.triggers()) == 1
    assert world.ledger.questions < 10


@pytest.mark.parametrize("is_last_done", [True, False])
@pytest.mark.parametrize("calls", range(14))
async def test_a_crash_between_any_two_steps_leads_to_exactly_one_run(calls: int, is_last_done: bool) -> None:
    world = World()
    mortal = MortalEtcd(world.etcd, calls, is_last_done=is_last_done)
    first = await world.replica(mortal)
    runs = [first.run_of("a"), first.run_of("b")]
    async with first.running():
        for parent in ("a", "b"):
            first.begin(parent)
            await first.work(SECOND / 5)
            first.end(parent)
        await first.work()
    # The watermark is just before what is not durable, so the next owner meets exactly these again.
    held_back = [run for run in runs if marker_of(run.execution_id) in first.shard(run.job.id).unrecorded]
    second = await world.replica()
    second.take_over(held_back)
    async with second.running():
        await second.work()
    (trigger,) = world.triggers()
    assert list(trigger.parent_execution_ids) == ["a-1", "b-1"]
    assert world.follow_ups() == []
    assert world.signals() == []
    assert world.under(keys.ROUNDS) != []


async def test_the_crashes_above_reach_the_last_step() -> None:
    world = World()
    mortal = MortalEtcd(world.etcd, 1000, is_last_done=True)
    replica = await world.replica(mortal)
    async with replica.running():
        for parent in ("a", "b"):
            replica.begin(parent)
            await replica.work(SECOND / 5)
            replica.end(parent)
        await replica.work()
    assert len(world.triggers()) == 1
    assert 1000 - mortal.calls_left < 14


async def test_runs_that_are_told_twice_count_once() -> None:
    world = World(condition=run_rules_pb2.Dependencies.ANY_COMPLETE)
    replica = await world.replica()
    async with replica.running():
        for _ in range(3):
            replica.begin("a")
            replica.end("a")
            await replica.work()
    assert len(world.triggers()) == 1
