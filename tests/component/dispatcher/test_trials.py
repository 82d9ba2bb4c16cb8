"""Trial deliveries: over gRPC, to a real receiver."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial

import grpc
import pytest
from chronos.dispatcher.v1 import target_service_pb2 as target_pb2
from chronos.dispatcher.v1 import target_service_pb2_grpc as target_grpc
from chronos.scheduler.v1 import signing_pb2
from chronos.scheduler.v1 import target_pb2 as webhook_pb2

from libs.clock import SystemClock
from libs.redaction import MASK
from libs.rpc.auth import Authenticator, new_key
from libs.rpc.channel import open_channel
from libs.rpc.server import RpcServer
from services.dispatcher.app.senders import open_senders
from services.dispatcher.convert_trials import read_trial
from services.dispatcher.servicer.targets import TargetServicer
from services.dispatcher.settings import DispatcherSettings
from services.dispatcher.trials import MOST_AT_ONCE, Trials
from tests.fakes.keys import FakeKeyDirectory
from tests.receiver import Receiver, Reply

Request = target_pb2.TestTargetRequest
Try = Callable[[Request], Awaitable[target_pb2.TestTargetResponse]]
SERVICE = "chronos.dispatcher.v1.TargetService"
SECRET = "whsec_" + "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz"


@pytest.fixture
async def attempt() -> AsyncIterator[Try]:
    settings, clock = DispatcherSettings(allow_private_addresses=True), SystemClock()
    async with open_senders(settings, clock) as sender:
        read = partial(read_trial, user_agent="Chronos/test", usual_secrets=[])
        servicer = TargetServicer(Trials(sender, clock, random.Random(1)), read)
        text, key = new_key("test", ["job:create"], ["*"], clock)
        authenticator = Authenticator(FakeKeyDirectory(key), clock)
        service = (target_grpc.add_TargetServiceServicer_to_server, servicer, SERVICE)
        server = RpcServer("127.0.0.1:0", [service], authenticator=authenticator, clock=clock)
        address = await server.start()
        async with open_channel(address) as channel:
            yield partial(target_grpc.TargetServiceStub(channel).TestTarget, metadata=(("x-api-key", text),))
        await server.drain(settings.drain_timeout)


def webhook(url: str, **fields: object) -> Request:
    return Request(webhook=webhook_pb2.WebhookTarget(url=url, **fields))  # type: ignore[arg-type]


async def test_a_trial_is_a_real_delivery_and_shows_both_sides(attempt: Try) -> None:
    async with Receiver() as receiver:
        url = receiver.reply("/bill", Reply(status=201, body=b"made"))
        asked = webhook(url, body='{"run": "{{.ExecutionID}}"}', auth={"bearer": {"token": "s3cret"}})
        asked.signing.CopyFrom(signing_pb2.Signing(secrets=[SECRET]))
        answer = await attempt(asked)
        (received,) = receiver.requests
    assert (answer.success, answer.status_code, answer.response_body) == (True, 201, "made")
    assert (answer.request.method, answer.request.url) == ("POST", url)
    assert answer.request.headers["Authorization"] == MASK
    assert answer.request.headers["X-Chronos-Execution-ID"] == answer.execution_id
    assert answer.request.headers["webhook-id"] == answer.execution_id
    assert answer.request.headers["webhook-signature"] == MASK
    assert received.headers["authorization"] == "Bearer s3cret"
    assert received.headers["x-chronos-execution-id"] == answer.execution_id
    assert received.headers["webhook-signature"].startswith("v1,")
    assert received.body.decode() == answer.request.body == f'{{"run": "{answer.execution_id}"}}'
    assert answer.duration.ToTimedelta().total_seconds() > 0


async def test_a_failed_trial_says_why_and_is_not_repeated(attempt: Try) -> None:
    async with Receiver() as receiver:
        answer = await attempt(webhook(receiver.reply("/", Reply(status=503))))
        assert (answer.success, answer.is_retryable, answer.status_code) == (False, True, 503)
        assert "503" in answer.error
        assert len(receiver.requests) == 1


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        (webhook("https://example.com/", auth={"bearer": {"token": MASK}}), "webhook.auth.bearer.token"),
        (
            Request(
                webhook=webhook_pb2.WebhookTarget(url="https://x/"), signing=signing_pb2.Signing(secrets=["short"])
            ),
            "webhook",
        ),
        (Request(), "target"),
    ],
)
async def test_what_cannot_be_delivered_is_refused(attempt: Try, asked: Request, field: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await attempt(asked)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert field in (refused.value.details() or "")


async def test_few_trials_are_made_at_a_time(attempt: Try) -> None:
    hold = asyncio.Event()
    async with Receiver() as receiver:
        slow = webhook(receiver.reply("/", Reply(hold=hold)))
        async with asyncio.TaskGroup() as group:
            calls = [group.create_task(_answer(attempt, slow)) for _ in range(MOST_AT_ONCE)]
            await receiver.wait_for_count(MOST_AT_ONCE)
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await attempt(slow)
            hold.set()
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert all(call.result().success for call in calls)


async def _answer(attempt: Try, asked: Request) -> target_pb2.TestTargetResponse:
    return await attempt(asked)
