"""Whose execution is sent next when there are more than can be sent at a time."""

import asyncio

from chronos.dispatcher.v1 import delivery_service_pb2 as delivery_pb2

from tests.deliveries import make_delivery, make_job
from tests.unit.dispatcher.rig import SECOND, Rig, open_rig

URL = "http://example.com/"


def of(namespace: str, *, priority: int = 0, url: str = URL) -> delivery_pb2.Delivery:
    job = make_job(url)
    job.namespace, job.id = namespace, f"{namespace}-{priority}"
    if priority:
        job.priority = priority
    return make_delivery(job)


async def order_of(rig: Rig, *deliveries: delivery_pb2.Delivery) -> list[str]:
    """The jobs in the order in which they are sent, one at a time, behind one that is under way."""
    rig.sender.gate = asyncio.Event()
    await rig.send(of("first"))
    await rig.send(*deliveries)
    rig.sender.gate.set()
    await rig.advance(10 * SECOND)
    return [request.headers["X-Chronos-Job-ID"] for request in rig.sender.requests[1:]]


async def test_a_burst_of_one_namespace_does_not_delay_another_at_the_same_endpoint() -> None:
    async with open_rig(max_in_flight=1) as rig:
        order = await order_of(rig, *(of("loud") for _ in range(100)), of("quiet"), of("quiet"))
        assert order[:4] == ["loud-0", "quiet-0", "loud-0", "quiet-0"]
        assert len(order) == 102


async def test_nor_does_one_to_many_endpoints() -> None:
    async with open_rig(max_in_flight=1) as rig:
        burst = [of("loud", url=f"http://{number}.example.com/") for number in range(100)]
        order = await order_of(rig, *burst, of("quiet"))
        assert order[1] == "quiet-0"


async def test_within_a_namespace_priority_decides_and_then_time() -> None:
    async with open_rig(max_in_flight=1) as rig:
        order = await order_of(rig, of("a", priority=1), of("a"), of("a", priority=9), of("b"), of("a", priority=9))
        assert order == ["a-9", "b-0", "a-9", "a-0", "a-1"]
