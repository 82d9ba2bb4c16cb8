"""What the scheduler itself records reaches the ledger, and nothing follows from what the ledger refuses."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

from libs.faults import Fault
from services.scheduler.firing.notes import Notes
from services.scheduler.firing.owned import OwnedShard
from services.scheduler.ports.ledger import Note
from tests.fakes.clock import FakeClock
from tests.fakes.firing import EPOCH, SECOND, SHARD, START, Execution, identity_at
from tests.fakes.scheduler import FakeLedger


class Desk:
    """Notes, their ledger, and which of them were settled."""

    def __init__(self, ledger: FakeLedger | None = None) -> None:
        self.clock = FakeClock(START)
        self.ledger = ledger or FakeLedger()
        self.notes = Notes(self.ledger, self.clock)
        self.settled: list[str] = []

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            recording = group.create_task(self.notes.run())
            yield
            recording.cancel()

    def add(self, shard: OwnedShard, identity: str) -> None:
        self.notes.add(shard, Execution(id=identity), 1, lambda: self.settled.append(identity))

    def recorded(self) -> list[tuple[str, int]]:
        return [(note.execution.id, note.epoch) for note in self.ledger.notes]


class BrokenLedger(FakeLedger):
    """Answers the first two times with a fault that nobody expects."""

    async def record(self, notes: Sequence[Note]) -> frozenset[str]:
        if len(self.batches) < 2:
            self.batches.append(len(notes))
            raise Fault("a bug")
        return await super().record(notes)


def shard(epoch: int = EPOCH) -> OwnedShard:
    return OwnedShard(SHARD, epoch, 0)


async def test_nothing_follows_from_a_note_whose_epoch_is_over() -> None:
    desk, old = Desk(), shard()
    desk.ledger.sealed_epoch = EPOCH + 1
    async with desk.open():
        desk.add(old, identity_at(1))
        await desk.clock.advance(SECOND)
    assert desk.settled == []
    assert desk.notes.backlog.waiting == 0
    assert identity_at(1) in old.unrecorded


async def test_the_note_of_a_new_owner_counts_though_that_of_the_old_one_is_refused() -> None:
    desk, old, new = Desk(), shard(), shard(EPOCH + 1)
    desk.ledger.sealed_epoch = EPOCH + 1
    async with desk.open():
        desk.notes.add(old, Execution(id=identity_at(1)), 1, lambda: desk.settled.append("old"))
        desk.notes.add(new, Execution(id=identity_at(1)), 1, lambda: desk.settled.append("new"))
        await desk.clock.advance(SECOND)
    assert desk.settled == ["new"]
    assert desk.recorded() == [(identity_at(1), EPOCH + 1)]
    assert not new.unrecorded


async def test_whatever_goes_wrong_in_the_ledger_the_notes_are_recorded_later() -> None:
    desk = Desk(BrokenLedger())
    async with desk.open():
        desk.add(shard(), identity_at(1))
        await desk.clock.advance(3 * SECOND)
    assert desk.settled == [identity_at(1)]


async def test_a_note_that_can_never_be_taken_holds_up_no_other() -> None:
    desk, mine = Desk(), shard()
    desk.ledger.invalid = {identity_at(3)}
    async with desk.open():
        for number in range(10):
            desk.add(mine, identity_at(number))
        await desk.clock.advance(timedelta(seconds=2))
    assert desk.settled == [identity_at(number) for number in range(10) if number != 3]
    assert not mine.unrecorded
    assert desk.notes.backlog.waiting == 0
