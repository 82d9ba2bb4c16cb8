"""Taking batches: acknowledged in order, only once durable, no more than there is room for."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from libs.faults import InvalidArgument, Unavailable, WrongState
from services.history.domain.records import Batch, Record, Refused, Status
from services.history.ledger import Acknowledgement, Numbered, Recording
from services.history.room import Room
from services.history.write_health import WriteHealth
from tests.fakes.clock import FakeClock
from tests.fakes.history_records import execution_id, record
from tests.fakes.ledger import FakeLedger

FULL = Unavailable("The disk is full.", reason="LEDGER_FULL")


class Sender:
    """One stream: what was read from it, and what it was answered."""

    def __init__(self, *batches: Sequence[Record], error: Exception | None = None) -> None:
        self.read = 0
        self.answers: list[Acknowledgement] = []
        self._batches = batches
        self._error = error

    async def batches(self) -> AsyncIterator[Numbered]:
        for records in self._batches:
            self.read += 1
            yield Numbered(number=self.read, batch=Batch(records))
        if self._error:
            raise self._error

    async def acknowledge(self, answer: Acknowledgement) -> None:
        self.answers.append(answer)

    @property
    def acknowledged(self) -> list[int]:
        return [answer.number for answer in self.answers]


class Desk:
    def __init__(self, capacity: int = 100) -> None:
        self.ledger = FakeLedger()
        self.room = Room(capacity)
        self.health = WriteHealth(FakeClock())
        self.recorded = 0
        self.recording = Recording(self.ledger, self.room, self.health, self._count)

    async def record(self, sender: Sender) -> None:
        await self.recording.record(sender.batches(), sender.acknowledge)

    def _count(self) -> None:
        self.recorded += 1


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_batches_are_acknowledged_in_their_order() -> None:
    desk, sender = Desk(), Sender([record(1)], [record(2)], [], [record(3)])
    await desk.record(sender)
    assert sender.acknowledged == [1, 2, 3, 4]
    assert desk.recorded == 4
    assert desk.room.used == 0


async def test_an_acknowledgement_names_what_was_stale() -> None:
    desk = Desk()
    await desk.recording.seal(3, 8, 0)
    sender = Sender([record(1), record(2, Status.RUNNING)])
    await desk.record(sender)
    assert sender.answers == [Acknowledgement(number=1, refused=Refused(stale=frozenset({execution_id(2)})))]


async def test_an_acknowledgement_names_what_somebody_else_has_claimed() -> None:
    desk = Desk()
    claim = record(1, Status.RUNNING, claimant="a")
    await desk.ledger.take(Batch([claim], {0}))
    batches, answers = [Batch([claim]), Batch([claim._replace(claimant="b"), record(2)], {0})], []

    async def sent() -> AsyncIterator[Numbered]:
        for number, batch in enumerate(batches):
            yield Numbered(number=number, batch=batch)

    async def acknowledge(answer: Acknowledgement) -> None:
        answers.append(answer.refused.claimed)

    await desk.recording.record(sent(), acknowledge)
    assert answers == [frozenset(), frozenset({execution_id(1)})]


async def test_nothing_is_acknowledged_before_it_is_durable() -> None:
    desk, sender = Desk(), Sender([record(1)], [record(2)])
    desk.ledger.is_held = True
    async with asyncio.TaskGroup() as group:
        group.create_task(desk.record(sender))
        await settle()
        assert (sender.read, sender.acknowledged) == (2, [])
        desk.ledger.release()
    assert sender.acknowledged == [1, 2]


async def test_no_sender_is_read_further_while_there_is_no_room() -> None:
    desk = Desk(capacity=3)
    first, second = Sender([record(1), record(2)], [record(3)], [record(4)]), Sender([record(5)])
    desk.ledger.is_held = True
    async with asyncio.TaskGroup() as group:
        group.create_task(desk.record(first))
        await settle()
        group.create_task(desk.record(second))
        await settle()
        assert desk.room.used == 3
        assert first.read == 3
        assert await desk.ledger.position() == await FakeLedger().position()
        desk.ledger.is_held = False
        desk.ledger.release()
    assert (first.acknowledged, second.acknowledged) == ([1, 2, 3], [1])


async def test_a_batch_that_cannot_be_written_ends_its_stream_unacknowledged() -> None:
    desk, sender = Desk(), Sender([record(1)], [record(2)])
    desk.ledger.fault = FULL
    with pytest.raises(Unavailable) as caught:
        await desk.record(sender)
    assert caught.value.reason == "LEDGER_FULL"
    assert sender.acknowledged == []
    assert not desk.health.is_good
    assert desk.room.used == 0


async def test_the_next_write_that_works_makes_all_well_again() -> None:
    desk = Desk()
    desk.ledger.fault = FULL
    with pytest.raises(Unavailable):
        await desk.recording.seal(3, 8, 0)
    assert not desk.health.is_good
    desk.ledger.fault = None
    await desk.record(Sender([record(1)]))
    assert desk.health.is_good


async def test_a_record_that_cannot_be_read_ends_its_stream() -> None:
    desk, sender = Desk(), Sender([record(1)], error=InvalidArgument.of("records[0].execution.id", "must be a UUID"))
    with pytest.raises(InvalidArgument):
        await desk.record(sender)
    assert desk.health.is_good


async def test_an_older_epoch_is_no_trouble_of_the_disk() -> None:
    desk = Desk()
    await desk.recording.seal(3, 8, 0)
    with pytest.raises(WrongState):
        await desk.recording.seal(3, 7, 0)
    assert desk.health.is_good


async def test_what_was_taken_from_a_stream_that_broke_is_written_all_the_same() -> None:
    desk, sender = Desk(), Sender([record(1)])
    desk.ledger.is_held = True
    async with asyncio.TaskGroup() as group:
        stream = group.create_task(desk.record(sender))
        await settle()
        stream.cancel()
        await settle()
        assert desk.room.used == 1
        desk.ledger.release()
        await settle()
    assert desk.room.used == 0
    assert await desk.ledger.find("default", execution_id(1)) == record(1)
