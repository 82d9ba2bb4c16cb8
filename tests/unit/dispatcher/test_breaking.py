"""Hosts that are left alone for a while, as executions see it."""

import asyncio
from datetime import timedelta

from chronos.dispatcher.v1 import delivery_service_pb2 as delivery_pb2

from services.dispatcher.domain.breaker import State
from services.dispatcher.domain.results import Answer
from tests.deliveries import make_delivery, make_job
from tests.unit.dispatcher.rig import SECOND, Execution, Rig, open_rig

URL = "http://example.com/"
OK, BAD, GONE = Answer(status_code=200), Answer(status_code=503), Answer(status_code=404)


def one(max_attempts: int = 1, url: str = URL) -> delivery_pb2.Delivery:
    return make_delivery(make_job(url, max_attempts=max_attempts))


async def open_circuit(rig: Rig) -> None:
    """Lets five requests fail; what comes then is in `results`."""
    await rig.send(*(one() for _ in range(5)))
    assert [tripped.breaker.state for tripped in rig.dispatch.breakers.tripped] == [State.OPEN]
    rig.sender.requests.clear()


def state(rig: Rig) -> State:
    return next((tripped.breaker.state for tripped in rig.dispatch.breakers.tripped), State.CLOSED)


async def test_an_attempt_is_not_sent_while_the_circuit_is_open() -> None:
    async with open_rig(*[BAD] * 5, OK) as rig:
        await open_circuit(rig)
        delivery = one()
        await rig.send(delivery)
        final = rig.record(delivery.execution_id).execution
        assert rig.sender.requests == []
        assert (final.status, final.attempt_count) == (Execution.FAILED, 1)
        assert final.reason_code == Execution.BREAKER_OPEN
        assert final.error.startswith(
            "not sent: the circuit of example.com:80 is open after 5 failures (last: answered 503"
        )
        assert final.attempts[0].error == final.error


async def test_its_next_attempt_waits_for_the_probe_and_may_be_it() -> None:
    async with open_rig(*[BAD] * 5, OK) as rig:
        await open_circuit(rig)
        delivery = one(max_attempts=2)
        await rig.send(delivery)
        waiting = rig.record(delivery.execution_id).execution
        assert waiting.reason_code == Execution.REASON_UNSPECIFIED
        (tripped,) = rig.dispatch.breakers.tripped
        assert tripped.probe_at is not None
        assert waiting.attempts[0].retry_at.ToDatetime(tripped.probe_at.tzinfo) >= tripped.probe_at
        await rig.advance(20 * SECOND)
        assert rig.sender.requests == []
        await rig.advance(20 * SECOND)
        assert rig.record(delivery.execution_id).execution.status == Execution.SUCCESS
        assert state(rig) is State.HALF_OPEN


async def test_other_hosts_are_not_affected() -> None:
    async with open_rig(*[BAD] * 5, OK) as rig:
        await open_circuit(rig)
        other = one(url="http://example.com:8080/")
        await rig.send(other)
        assert rig.record(other.execution_id).execution.status == Execution.SUCCESS


async def test_two_good_probes_close_it() -> None:
    async with open_rig(*[BAD] * 5, OK) as rig:
        await open_circuit(rig)
        await rig.advance(30 * SECOND)
        await rig.send(one())
        assert state(rig) is State.HALF_OPEN
        await rig.send(one())
        assert state(rig) is State.CLOSED


async def test_a_not_found_does_not_wedge_it() -> None:
    async with open_rig(*[BAD] * 5, GONE) as rig:
        await open_circuit(rig)
        await rig.advance(30 * SECOND)
        await rig.send(one())
        await rig.send(one())
        assert state(rig) is State.CLOSED
        assert len(rig.sender.requests) == 2


async def test_a_cancelled_probe_frees_its_place() -> None:
    async with open_rig(*[BAD] * 5, OK) as rig:
        await open_circuit(rig)
        await rig.advance(30 * SECOND)
        rig.sender.gate = asyncio.Event()
        probe, other = one(), one()
        await rig.send(probe)
        await rig.send(other)
        assert "a probe is under way" in rig.record(other.execution_id).execution.error
        await rig.cancel(probe.execution_id)
        after = one()
        await rig.send(after)
        assert len(rig.sender.requests) == 2
        rig.sender.gate.set()
        await rig.advance()
        assert rig.record(after.execution_id).execution.status == Execution.SUCCESS
        assert rig.dispatch.breakers.tripped[0].breaker.successes == 1, (
            "the answer to the cancelled one is not looked at"
        )


async def test_an_error_of_our_own_frees_the_place_of_the_probe() -> None:
    async with open_rig(*[BAD] * 5, RuntimeError("boom"), OK) as rig:
        await open_circuit(rig)
        await rig.advance(30 * SECOND)
        await rig.send(one())
        after = one()
        await rig.send(after)
        assert rig.record(after.execution_id).execution.status == Execution.SUCCESS


async def test_what_waited_for_the_probe_does_not_come_all_at_once() -> None:
    async with open_rig(*[BAD] * 5, OK) as rig:
        await open_circuit(rig)
        deliveries = [one(max_attempts=2) for _ in range(20)]
        for delivery in deliveries:
            delivery.job.retry_policy.initial_interval.FromSeconds(10)
            delivery.job.retry_policy.max_interval.FromSeconds(10)
        await rig.send(*deliveries)
        await rig.advance(60 * SECOND)
        ends = [rig.record(delivery.execution_id).execution.status for delivery in deliveries]
        assert ends == [Execution.SUCCESS] * 20


async def test_an_open_circuit_is_no_reason_to_give_up_at_most_once() -> None:
    async with open_rig(*[BAD] * 5, OK) as rig:
        await open_circuit(rig)
        delivery = one(max_attempts=2)
        delivery.job.delivery_guarantee = delivery.job.AT_MOST_ONCE
        await rig.send(delivery)
        await rig.advance(40 * SECOND)
        assert rig.record(delivery.execution_id).execution.status == Execution.SUCCESS


async def test_breakers_can_be_switched_off() -> None:
    async with open_rig(BAD, breaker_failures=0) as rig:
        await rig.send(*(one() for _ in range(20)))
        assert len(rig.sender.requests) == 20


async def test_the_numbers_are_settings() -> None:
    async with open_rig(BAD, OK, breaker_failures=1, breaker_open="5s", breaker_successes=1) as rig:
        await rig.send(one())
        assert state(rig) is State.OPEN
        await rig.advance(timedelta(seconds=5))
        await rig.send(one())
        assert state(rig) is State.CLOSED
