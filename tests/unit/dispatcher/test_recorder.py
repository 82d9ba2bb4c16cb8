import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial

from services.dispatcher.convert import read_delivery
from services.dispatcher.convert_plans import read_plan
from services.dispatcher.convert_records import write_record
from services.dispatcher.domain.execution import begin_attempt, end_attempt, resume
from services.dispatcher.domain.results import Answer
from services.dispatcher.domain.targets.http_answers import judge
from services.dispatcher.held import Held, Stage
from services.dispatcher.recorder import Recorder, RecorderLimits
from services.dispatcher.streams import Outbox
from tests.deliveries import SCHEDULED, make_delivery, make_job
from tests.eventually import soon
from tests.fakes.clock import FakeClock
from tests.fakes.history import FakeHistory

FLUSH = timedelta(milliseconds=20)
LIMITS = RecorderLimits(
    flush_interval=FLUSH, batch_size=10, batches_in_flight=2, most_records=25, most_response_bytes=1_000_000
)


@dataclass
class Told:
    """A watcher that remembers."""

    recorded_ids: list[str] = field(default_factory=list)
    finished_ids: list[str] = field(default_factory=list)
    accepted_ids: list[str] = field(default_factory=list)
    refused_ids: list[str] = field(default_factory=list)
    again: bool = False

    def recorded(self, held: Held) -> None:
        self.recorded_ids.append(held.id)

    def finished(self, held: Held) -> None:
        self.finished_ids.append(held.id)

    def accepted(self, held: Held) -> None:
        self.accepted_ids.append(held.id)

    def refused(self, held: Held, *, epoch: int, is_final: bool) -> bool:
        self.refused_ids.append(held.id)
        again, self.again = self.again, False
        return again


@dataclass
class Claims:
    """A claimant that remembers."""

    granted_ids: list[str] = field(default_factory=list)
    refused_ids: list[str] = field(default_factory=list)

    def granted(self, held: Held) -> None:
        self.granted_ids.append(held.id)

    def refused(self, held: Held) -> None:
        self.refused_ids.append(held.id)


@dataclass
class Bench:
    recorder: Recorder
    history: FakeHistory
    told: Told
    claims: Claims
    clock: FakeClock

    async def flush(self) -> None:
        await self.clock.advance(FLUSH)


@asynccontextmanager
async def open_bench(prepare: Callable[[FakeHistory], None] = lambda history: None) -> AsyncIterator[Bench]:
    history, told, claims, clock = FakeHistory(), Told(), Claims(), FakeClock()
    prepare(history)
    recorder = Recorder(history, told, claims, partial(write_record, claimant="me"), clock, LIMITS)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(recorder.run())
        yield Bench(recorder, history, told, claims, clock)
        running.cancel()


def start(definition_id: bytes = b"") -> Held:
    message = make_delivery(make_job("http://example.com/"))
    message.definition_id = definition_id
    delivery = read_delivery(message, read_plan(message, user_agent="x", dispatcher="dispatcher-0"))
    progress = begin_attempt(resume(()), now=SCHEDULED)
    return Held(delivery=delivery, progress=progress, listener=Outbox(), creditor=None, stage=Stage.SENDING)


def end(held: Held, body: bytes = b"") -> None:
    verdict = judge(Answer(status_code=200, body=body), frozenset())
    held.progress = end_attempt(held.progress, verdict, duration=FLUSH, wait=None)
    held.stage = Stage.ENDED


async def test_a_start_and_an_end_close_together_are_one_record() -> None:
    async with open_bench() as bench:
        held = start()
        bench.recorder.put(held)
        end(held)
        bench.recorder.put(held)
        await bench.flush()
        assert [len(batch) for batch in bench.history.batches] == [1]
        assert (bench.told.recorded_ids, bench.told.finished_ids) == ([], [held.id])


async def test_an_end_after_its_start_was_sent_is_a_record_of_its_own() -> None:
    async with open_bench() as bench:
        held = start()
        bench.recorder.put(held)
        await bench.flush()
        end(held)
        bench.recorder.put(held)
        await bench.flush()
        assert (bench.told.recorded_ids, bench.told.finished_ids) == ([held.id], [held.id])
        assert bench.recorder.backlog == 0


async def test_a_batch_has_a_bound_in_records() -> None:
    async with open_bench() as bench:
        for _ in range(15):
            bench.recorder.put(start())
        await bench.flush()
        assert [len(batch) for batch in bench.history.batches] == [10, 5]


async def test_a_batch_has_a_bound_in_bytes() -> None:
    async with open_bench() as bench:
        for _ in range(6):
            held = start()
            end(held, body=b"x" * 900_000)
            bench.recorder.put(held)
        await bench.flush()
        assert [len(batch) for batch in bench.history.batches] == [3, 3]


async def test_only_so_many_batches_are_on_their_way() -> None:
    async with open_bench(lambda history: setattr(history, "is_mute", True)) as bench:
        for _ in range(50):
            bench.recorder.put(start())
        await bench.flush()
        await bench.flush()
        assert [len(batch) for batch in bench.history.batches] == [10, 10]
        assert bench.recorder.backlog == 50


async def test_there_is_no_room_while_too_much_waits() -> None:
    async with open_bench(lambda history: setattr(history, "is_away", True)) as bench:
        for _ in range(LIMITS.most_records):
            assert bench.recorder.has_room
            bench.recorder.put(start())
        assert not bench.recorder.has_room


async def test_there_is_no_room_while_too_many_bytes_wait() -> None:
    async with open_bench(lambda history: setattr(history, "is_away", True)) as bench:
        held = start()
        end(held, body=b"x" * LIMITS.most_response_bytes)
        bench.recorder.put(held)
        assert not bench.recorder.has_room
        bench.history.is_away = False
        await bench.clock.advance(timedelta(seconds=1))
        assert bench.told.finished_ids == [held.id]
        assert bench.recorder.has_room


async def test_a_history_that_falls_silent_is_left_for_another_one() -> None:
    async with open_bench(lambda history: setattr(history, "is_mute", True)) as bench:
        held = start()
        end(held)
        bench.recorder.put(held)
        await bench.clock.advance(timedelta(seconds=10))
        assert bench.history.opened == 1
        bench.history.is_mute = False
        await bench.clock.advance(timedelta(seconds=10))
        await soon(lambda: bench.history.opened == 2)
        assert bench.told.finished_ids == [held.id]


async def test_a_quiet_history_is_not_left_while_there_is_nothing_to_say() -> None:
    async with open_bench() as bench:
        await bench.clock.advance(timedelta(minutes=5))
        bench.recorder.put(start())
        await bench.flush()
        await bench.clock.advance(timedelta(minutes=5))
        assert bench.history.opened == 1


async def test_a_refused_record_is_sent_again_when_asked_for() -> None:
    async with open_bench() as bench:
        held = start()
        bench.history.sealed[held.delivery.shard] = 99
        bench.told.again = True
        bench.recorder.put(held)
        await bench.flush()
        await bench.flush()
        assert bench.told.refused_ids == [held.id, held.id]


async def test_a_dropped_execution_is_not_recorded_any_more() -> None:
    async with open_bench() as bench:
        held = start()
        bench.recorder.put(held)
        held.stage = Stage.DROPPED
        await bench.flush()
        assert bench.history.batches == []
        assert bench.recorder.backlog == 0


def claim() -> Held:
    held = start()
    held.stage = Stage.CLAIMING
    return held


async def test_a_claim_says_who_claims_and_hears_that_it_was_granted() -> None:
    async with open_bench() as bench:
        held = claim()
        bench.recorder.put(held)
        await bench.flush()
        (record,) = bench.history.records
        assert (record.is_claim, record.claimant) == (True, "me")
        assert (bench.claims.granted_ids, bench.told.recorded_ids) == ([held.id], [])


async def test_a_claim_of_somebody_elses_hears_that_it_was_refused() -> None:
    async with open_bench() as bench:
        held = claim()
        bench.history.claimants[held.id] = "somebody else"
        bench.recorder.put(held)
        await bench.flush()
        assert (bench.claims.refused_ids, bench.claims.granted_ids) == ([held.id], [])


async def test_a_claim_whose_answer_was_lost_is_made_again() -> None:
    async with open_bench(lambda history: setattr(history, "is_mute", True)) as bench:
        held = claim()
        bench.recorder.put(held)
        await bench.flush()
        bench.history.is_mute = False
        bench.history.break_streams()
        await bench.clock.advance(timedelta(seconds=1))
        assert [record.is_claim for record in bench.history.records] == [True, True]
        assert bench.claims.granted_ids == [held.id]


async def test_a_definition_is_told_with_the_first_record_of_a_stream_that_has_it() -> None:
    async with open_bench() as bench:
        for definition_id in (b"a" * 16, b"a" * 16, b"b" * 16, b""):
            bench.recorder.put(start(definition_id))
        await bench.flush()
        bench.recorder.put(start(b"b" * 16))
        await bench.flush()
        assert [record.HasField("definition") for record in bench.history.records] == [True, False, True, False, False]
        bench.history.break_streams()
        await bench.clock.advance(timedelta(seconds=1))
        bench.recorder.put(start(b"b" * 16))
        await bench.flush()
        assert bench.history.records[-1].HasField("definition")


async def test_a_definition_whose_record_was_refused_is_told_again() -> None:
    async with open_bench() as bench:
        held = start(b"a" * 16)
        bench.history.sealed[held.delivery.shard] = 99
        bench.recorder.put(held)
        await bench.flush()
        bench.recorder.put(start(b"a" * 16))
        await bench.flush()
        assert [record.HasField("definition") for record in bench.history.records] == [True, True]


async def test_a_definition_is_told_again_on_a_stream_that_lives_long() -> None:
    async with open_bench() as bench:
        bench.recorder.put(start(b"a" * 16))
        await bench.flush()
        await bench.clock.advance(timedelta(hours=2))
        bench.recorder.put(start(b"a" * 16))
        await bench.flush()
        assert [record.HasField("definition") for record in bench.history.records] == [True, True]
