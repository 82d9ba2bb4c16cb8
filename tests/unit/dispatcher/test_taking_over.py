"""Executions that are handed over again while they are held."""

import asyncio

import pytest
from chronos.dispatcher.v1 import delivery_service_pb2 as delivery_pb2

from services.dispatcher.domain.event import EventKind
from services.dispatcher.domain.results import Answer
from tests.deliveries import make_delivery, make_job
from tests.unit.dispatcher.rig import Listener, open_rig


def handed_over(job_url: str, *, delivery: int, epoch: int) -> delivery_pb2.Delivery:
    return make_delivery(make_job(job_url), execution_id="e-1", delivery=delivery, epoch=epoch)


@pytest.mark.parametrize(
    ("held", "again", "is_heard"),
    [
        ((5, 1), (5, 2), True),
        ((5, 1), (5, 1), True),
        ((5, 3), (6, 1), True),
        ((5, 3), (5, 1), False),
        ((6, 1), (5, 3), False),
    ],
)
async def test_the_newest_hand_over_hears_of_the_end(
    held: tuple[int, int], again: tuple[int, int], is_heard: bool
) -> None:
    async with open_rig() as rig:
        rig.sender.gate = asyncio.Event()
        await rig.send(handed_over("http://example.com/", epoch=held[0], delivery=held[1]))
        other = Listener()
        late = handed_over("http://example.com/", epoch=again[0], delivery=again[1])
        rig.dispatch.intake.take(delivery_pb2.DeliverRequest(deliveries=[late]), other)
        rig.sender.gate.set()
        await rig.advance()
        assert len(rig.sender.requests) == 1
        assert (EventKind.FINISHED in other.kinds("e-1")) == is_heard
        assert (EventKind.FINISHED in rig.kinds("e-1")) != is_heard


async def test_a_new_owner_that_knows_of_fewer_hand_overs_is_obeyed_all_the_same() -> None:
    """What an earlier owner sent twice, with nothing of it in the ledger, is the new owner's first delivery."""
    async with open_rig(max_in_flight=1) as rig:
        gate = rig.sender.gate = asyncio.Event()
        await rig.send(make_delivery(make_job("http://example.com/"), execution_id="e-0"))
        rig.history.is_away = True
        rig.history.break_streams()
        await rig.send(handed_over("http://example.com/", epoch=5, delivery=2))
        rig.history.sealed[make_delivery(make_job("http://example.com/")).shard] = 6
        await rig.send(handed_over("http://example.com/", epoch=6, delivery=1))
        rig.history.is_away = False
        gate.set()
        await rig.advance()
        await rig.advance()
        told = rig.record("e-1")
        assert (told.epoch, told.execution.delivery) == (6, 2)
        assert EventKind.STALE not in rig.kinds("e-1")
        assert rig.kinds("e-1")[-1] == EventKind.FINISHED


async def test_a_failure_that_ended_an_earlier_delivery_is_no_answer_to_a_later_one() -> None:
    """Another dispatcher may have begun the one between; then the ledger has not taken the failure."""
    async with open_rig(Answer(status_code=404), Answer(status_code=404)) as rig:
        await rig.send(handed_over("http://example.com/", epoch=5, delivery=1))
        await rig.advance()
        assert rig.kinds("e-1")[-1] == EventKind.FINISHED
        await rig.send(handed_over("http://example.com/", epoch=5, delivery=1))
        assert len(rig.sender.requests) == 1
        await rig.send(handed_over("http://example.com/", epoch=5, delivery=3))
        await rig.advance()
        assert len(rig.sender.requests) == 2
        assert rig.record("e-1").execution.delivery == 3


async def test_a_failure_on_its_way_to_the_ledger_is_recorded_again_for_a_later_delivery() -> None:
    async with open_rig(Answer(status_code=404)) as rig:
        rig.history.is_mute = True
        await rig.send(handed_over("http://example.com/", epoch=5, delivery=1))
        await rig.send(handed_over("http://example.com/", epoch=5, delivery=3))
        assert rig.record("e-1").execution.delivery == 1
        rig.history.is_mute = False
        rig.history.acknowledge()
        await rig.advance()
        assert len(rig.sender.requests) == 1
        assert rig.record("e-1").execution.delivery == 3
        assert rig.kinds("e-1")[-1] == EventKind.FINISHED
