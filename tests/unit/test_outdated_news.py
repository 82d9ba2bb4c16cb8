"""News of a delivery that is over, about a run that is on its way to the same dispatcher again."""

import pytest
from chronos.dispatcher.v1 import delivery_service_pb2 as delivery
from chronos.scheduler.v1 import job_pb2

from services.scheduler.ports.ledger import Status
from tests.fakes.firing import EPOCH, SECOND, Bench, Event, Execution, identity_at, ids, stored, unfinished
from tests.fakes.scheduler import FakeLink

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


async def hand_out_twice(bench: Bench) -> FakeLink:
    """The first run is on its way to a dispatcher for the second time, after the stream broke."""
    gone = bench.link("d1")
    await bench.clock.advance(SECOND)
    bench.outbox.link_broken(gone)
    bench.outbox.dispatcher_gone("d1")
    again = bench.link("d1")
    assert [run.delivery for run in again.sent] == [2]
    return again


def ended(status: Status, number: int) -> delivery.DeliverResponse:
    """What a dispatcher tells of the end of a delivery."""
    kind = Event.ACCEPTED if status == Execution.RUNNING else Event.FINISHED
    return delivery.DeliverResponse(events=[Event(execution_id=FIRST, kind=kind, status=status, delivery=number)])


@pytest.mark.parametrize("status", [Execution.FAILED, Execution.TIMED_OUT, Execution.CANCELLED, Execution.RUNNING])
async def test_an_end_of_an_earlier_delivery_does_not_end_a_later_one(bench: Bench, status: Status) -> None:
    """The ledger goes by the later one."""
    async with bench.owning(stored(schedule="1 0 0 1 1 *")):
        again = await hand_out_twice(bench)
        bench.outbox.link_answered(again, ended(status, 1))
        assert (bench.followers.ended, bench.outbox.holder_of(FIRST)) == ([], "d1")
        bench.outbox.link_answered(again, ended(Execution.FAILED, 2))
        assert [each[:2] for each in bench.followers.ended] == [(FIRST, Execution.FAILED)]


async def test_an_end_of_what_may_be_sent_once_counts_whichever_delivery_it_is_of(bench: Bench) -> None:
    async with bench.owning(stored(schedule="1 0 0 1 1 *", delivery_guarantee=job_pb2.Job.AT_MOST_ONCE)):
        bench.outbox.link_answered(await hand_out_twice(bench), ended(Execution.FAILED, 1))
        assert [each[:2] for each in bench.followers.ended] == [(FIRST, Execution.FAILED)]


async def test_a_success_counts_whichever_delivery_it_is_of(bench: Bench) -> None:
    async with bench.owning(stored(schedule="1 0 0 1 1 *")):
        bench.outbox.link_answered(await hand_out_twice(bench), ended(Execution.SUCCESS, 1))
        assert [each[:2] for each in bench.followers.ended] == [(FIRST, Execution.SUCCESS)]


@pytest.mark.parametrize("is_held", [True, False])
async def test_an_adopted_run_that_ended_with_an_earlier_delivery_is_handed_out_again(
    bench: Bench, is_held: bool
) -> None:
    link = bench.link()
    earlier = unfinished(-10, Execution.RUNNING)
    earlier.delivery = 3
    bench.ledger.unfinished = [earlier]
    async with bench.owning(stored(schedule="@yearly")):
        if is_held:
            bench.report(link, Event.HELD, earlier.id)
        event = Event(execution_id=earlier.id, kind=Event.FINISHED, status=Execution.FAILED, delivery=2)
        bench.outbox.link_answered(link, delivery.DeliverResponse(events=[event]))
        assert [(run.execution_id, run.delivery) for run in link.sent] == [(earlier.id, 4)]
        assert bench.followers.ended == []


async def test_a_run_that_was_asked_about_and_ended_with_an_earlier_delivery_is_handed_out_again(bench: Bench) -> None:
    async with bench.owning(stored(schedule="1 0 0 1 1 *")):
        again = await hand_out_twice(bench)
        assert bench.outbox.ask_again([FIRST]) == 1
        bench.outbox.link_answered(again, ended(Execution.FAILED, 1))
        assert [run.delivery for run in again.sent] == [2, 3]
