"""News of a delivery that is over, about a run that is on its way to the same dispatcher again."""

import pytest
from chronos.dispatcher.v1 import delivery_service_pb2 as delivery

from tests.fakes.firing import EPOCH, SECOND, Bench, Event, Execution, identity_at, ids, stored, unfinished

FIRST = identity_at(1)


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.mark.parametrize("kind", [Event.STALE, Event.RETURNED, Event.CLAIMED])
@pytest.mark.parametrize(("epoch", "number"), [(EPOCH - 1, 3), (EPOCH, 1)])
async def test_what_is_told_of_an_earlier_delivery_takes_nothing_away(
    bench: Bench, kind: "Event.Kind.ValueType", epoch: int, number: int
) -> None:
    gone, link = bench.link("d1"), bench.link("d2", credit=0)
    async with bench.owning(stored(schedule="1 0 0 1 1 *")):
        await bench.clock.advance(SECOND)
        assert ids(gone.sent) == [FIRST]
        bench.outbox.link_broken(gone)
        bench.outbox.dispatcher_gone("d1")
        bench.outbox.link_answered(link, delivery.DeliverResponse(credit=10))
        assert [run.delivery for run in link.sent] == [2]
        event = Event(execution_id=FIRST, kind=kind, epoch=epoch, delivery=number)
        bench.outbox.link_answered(link, delivery.DeliverResponse(events=[event]))
        assert bench.outbox.holder_of(FIRST) == "d2"
        bench.report(link, Event.FINISHED, FIRST)
        await bench.clock.advance(SECOND)
        assert [ended for ended, *_ in bench.followers.ended] == [FIRST]
        assert len(link.sent) == 1


@pytest.mark.parametrize(("epoch", "number"), [(EPOCH, 1), (0, 0)])
async def test_what_is_told_of_the_delivery_itself_counts_and_so_does_what_names_none(
    bench: Bench, epoch: int, number: int
) -> None:
    link = bench.link()
    async with bench.owning(stored(schedule="1 0 0 1 1 *")):
        await bench.clock.advance(SECOND)
        event = Event(execution_id=FIRST, kind=Event.RETURNED, epoch=epoch, delivery=number)
        bench.outbox.link_answered(link, delivery.DeliverResponse(events=[event]))
        assert [run.delivery for run in link.sent] == [1, 2]
        assert bench.noted(Execution.LOST) == []


async def test_what_is_told_of_an_adopted_run_counts_though_it_was_held_under_an_earlier_epoch(bench: Bench) -> None:
    link = bench.link()
    earlier = unfinished(-10, Execution.RUNNING)
    bench.ledger.unfinished = [earlier]
    async with bench.owning(stored(schedule="@yearly")):
        bench.report(link, Event.HELD, earlier.id)
        event = Event(execution_id=earlier.id, kind=Event.RETURNED, epoch=EPOCH - 1, delivery=1)
        bench.outbox.link_answered(link, delivery.DeliverResponse(events=[event]))
        assert ids(link.sent) == [earlier.id]
