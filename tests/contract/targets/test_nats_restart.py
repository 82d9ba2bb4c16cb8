"""A NATS server that dies under load and comes back: what was acknowledged is there, the rest is delivered later."""

import asyncio
import uuid
from collections import Counter
from collections.abc import Callable

from chronos.history.v1 import execution_pb2
from chronos.scheduler.v1 import job_pb2

from libs.clock import SystemClock
from services.dispatcher.app.senders import open_senders
from services.dispatcher.domain.outcome import PERMANENT_KINDS
from services.dispatcher.domain.results import Failure, Receipt
from tests.component.dispatcher.harness import open_dispatcher
from tests.contract.targets.nats_rig import make_request, open_sender, received, streams
from tests.deliveries import make_delivery, make_job, quick_settings
from tests.servers.nats import NatsServer

Execution = execution_pb2.Execution
StartNats = Callable[..., NatsServer]
COUNT = 600


async def stored_ids(server: NatsServer, stream: str) -> Counter[str]:
    """The ids of all messages of a stream."""
    async with streams(server) as jetstream:
        last = (await jetstream.stream_info(stream)).state.last_seq
        messages = [await jetstream.get_msg(stream, number) for number in range(1, last + 1)]
    return Counter(message.headers["Nats-Msg-Id"] for message in messages)


async def test_nothing_acknowledged_is_lost_and_the_sender_recovers_by_itself(own_nats: StartNats) -> None:
    server = own_nats({"jetstream": {"sync_interval": "always"}})
    async with streams(server) as jetstream:
        await jetstream.add_stream(name="ORDERS", subjects=["orders.>"])
    acknowledged: list[str] = []
    failures: list[Failure] = []
    is_enough, is_killed = asyncio.Event(), asyncio.Event()

    async with open_sender() as sender:

        async def publish() -> None:
            while not is_killed.is_set():
                key = uuid.uuid4().hex
                request = make_request(server, jetstream={"enabled": True, "message_id": key})
                result = await sender.send(request)
                if isinstance(result, Receipt):
                    acknowledged.append(key)
                    if len(acknowledged) >= COUNT:
                        is_enough.set()
                elif isinstance(result, Failure):
                    failures.append(result)
                    is_killed.set()

        async with asyncio.TaskGroup() as group:
            for _ in range(32):
                group.create_task(publish())
            await is_enough.wait()
            server.kill()
        refused = await sender.send(make_request(server))
        assert isinstance(refused, Failure)
        failures.append(refused)
        await asyncio.to_thread(server.start)
        await received(sender, make_request(server, jetstream={"enabled": True, "message_id": "after"}))
    assert not {failure.kind for failure in failures} & PERMANENT_KINDS
    stored = await stored_ids(server, "ORDERS")
    assert set(acknowledged) <= set(stored)
    assert set(stored.values()) == {1}


def make_nats_job(server: NatsServer) -> job_pb2.Job:
    """Retries for longer than a restart takes."""
    job = make_job("http://unused.example", max_attempts=100)
    job.nats.url = server.url
    job.nats.subject = "orders.created"
    job.nats.payload = '{"run": "{{.ExecutionID}}"}'
    job.nats.jetstream.enabled = True
    job.retry_policy.initial_interval.FromMilliseconds(50)
    job.retry_policy.max_interval.FromMilliseconds(200)
    return job


async def test_executions_outlive_a_server_killed_under_load_and_each_is_stored_once(own_nats: StartNats) -> None:
    server = own_nats({"jetstream": {"sync_interval": "always"}})
    async with streams(server) as jetstream:
        await jetstream.add_stream(name="ORDERS", subjects=["orders.>"])
    job = make_nats_job(server)
    ids = [str(uuid.uuid4()) for _ in range(COUNT)]
    settings = quick_settings(breaker_failures=0, allow_private_addresses=True)
    async with open_senders(settings, SystemClock()) as sender, open_dispatcher(settings, sender=sender) as harness:
        stream = await harness.connect()
        await stream.send(*(make_delivery(job, execution_id=each) for each in ids[: COUNT // 2]))
        await harness.history.wait_for_final(ids[0])
        server.kill()
        await stream.send(*(make_delivery(job, execution_id=each) for each in ids[COUNT // 2 :]))
        await harness.wait_until(lambda: len(harness.dispatch.retries) > 0)
        await asyncio.to_thread(server.start)
        ended = [await harness.history.wait_for_final(each) for each in ids]
    assert {execution.status for execution in ended} == {Execution.SUCCESS}
    assert any(execution.attempt_count > 1 for execution in ended)
    assert all(execution.response.startswith("stream ORDERS, sequence ") for execution in ended)
    assert await stored_ids(server, "ORDERS") == Counter(ids)
