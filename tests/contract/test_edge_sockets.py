"""Programs that are connected to `/ws`, through the real Envoy, and a dispatcher that delivers to them."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio
from chronos.gateway.v1.socket_service_pb2_grpc import add_SocketServiceServicer_to_server
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from libs.clock import SystemClock
from libs.rpc.auth import new_key
from libs.rpc.channel import open_channel
from services.dispatcher.adapters.gateways import Gateways
from services.dispatcher.domain.results import Failure, FailureKind, Receipt
from services.dispatcher.domain.targets.websocket import SocketRequest
from services.gateway.servicer.sockets import SocketServicer
from tests.contract.edge import MESH_TOKEN, Backends, running_backends, running_envoy, serving
from tests.fakes.members import members_at

pytestmark = pytest.mark.asyncio(loop_scope="module")
PATIENCE = 10
REQUEST = SocketRequest(
    namespace="default", client_name="till", job_id="print", execution_id="e-1", payload='{"page": 1}', tags=(),
    headers={"x-chronos-job-id": "print"}, timeout=timedelta(seconds=PATIENCE),
)  # fmt: skip


class Rig:
    """An edge with a gateway behind it, and a dispatcher's way to that gateway."""

    def __init__(self, edge: str, backends: Backends, gateways: Gateways, stack: AsyncExitStack) -> None:
        self.edge = edge
        self.backends = backends
        self.gateways = gateways
        self._stack = stack

    async def connect(self) -> ClientConnection:
        return await self._stack.enter_async_context(connect(f"ws://{self.edge}/ws"))

    async def client(self, name: str = "till", **fields: Any) -> ClientConnection:
        socket = await self.connect()
        await say(socket, type="client-hook", client_name=name, token=self.backends.key, **fields)
        assert await heard(socket) == {"type": "ack", "message": "subscription registered"}
        return socket

    async def listener(self, *tags: str) -> ClientConnection:
        socket = await self.connect()
        await say(socket, type="tag-listener", tags=list(tags), token=self.backends.key)
        assert await heard(socket) == {"type": "ack", "message": "subscription registered"}
        return socket


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def backends() -> AsyncIterator[Backends]:
    async with running_backends() as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def edge(backends: Backends, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    async with running_envoy(backends.topology, tmp_path_factory.mktemp("edge") / "edge") as address:
        yield address


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateways(backends: Backends) -> AsyncIterator[Gateways]:
    service = (
        add_SocketServiceServicer_to_server, SocketServicer(backends.sockets), "chronos.gateway.v1.SocketService",
    )  # fmt: skip
    server = serving(backends.authenticator, service)
    address = await server.start()
    members = members_at("127.0.0.1:1", address)
    gateways = Gateways(members, lambda at: open_channel(at, mesh_token=MESH_TOKEN))
    copies = asyncio.create_task(gateways.run())
    yield gateways
    copies.cancel()
    await gateways.close()
    await server.drain(timedelta(0))


@pytest_asyncio.fixture(loop_scope="module")
async def rig(backends: Backends, edge: str, gateways: Gateways) -> AsyncIterator[Rig]:
    async with AsyncExitStack() as stack:
        yield Rig(edge, backends, gateways, stack)
    async with asyncio.timeout(PATIENCE):
        while backends.sockets.all():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)


async def say(socket: ClientConnection, **message: Any) -> None:
    await socket.send(json.dumps(message))


async def heard(socket: ClientConnection) -> dict[str, Any]:
    async with asyncio.timeout(PATIENCE):
        message: dict[str, Any] = json.loads(await socket.recv())
        return message


async def acknowledge(socket: ClientConnection, **fields: Any) -> dict[str, Any]:
    """Takes the next event and acknowledges it; gives the event."""
    event = await heard(socket)
    reply = {"type": "ack", "event_id": event["event_id"], "occurrence_id": event["occurrence_id"]}
    await say(socket, **(reply | fields))
    return event


async def test_an_event_reaches_the_client_and_its_acknowledgement_makes_it_a_success(rig: Rig) -> None:
    socket = await rig.client()
    result, event = await asyncio.gather(rig.gateways.send(REQUEST), acknowledge(socket))
    assert result == Receipt(response="acknowledged")
    assert event == {
        "type": "event", "namespace": "default", "event_id": "print", "occurrence_id": "e-1", "payload": {"page": 1},
        "tags": [], "headers": {"x-chronos-job-id": "print"},
    }  # fmt: skip
    assert await heard(socket) == {"type": "ack", "message": "acknowledged"}


async def test_a_client_that_refuses_fails_the_attempt_with_its_own_words(rig: Rig) -> None:
    socket = await rig.client()
    result, _ = await asyncio.gather(
        rig.gateways.send(REQUEST), acknowledge(socket, type="nack", message="out of paper")
    )
    assert isinstance(result, Failure)
    assert "out of paper" in result.error


async def test_nobody_connected_is_worth_another_attempt_and_nothing_was_sent(rig: Rig) -> None:
    other = await rig.client("other")
    result = await rig.gateways.send(REQUEST)
    assert isinstance(result, Failure)
    assert result.kind in (FailureKind.UNREADY, FailureKind.BROKEN)  # one gateway does not exist
    await other.close()


async def test_a_client_that_leaves_before_it_acknowledges_fails_the_attempt(rig: Rig) -> None:
    socket = await rig.client()

    async def leave() -> None:
        await heard(socket)
        await socket.close()

    result, _ = await asyncio.gather(rig.gateways.send(REQUEST), leave())
    assert isinstance(result, Failure)
    assert (result.kind, "gone" in result.error) == (FailureKind.BROKEN, True)


async def test_a_client_that_stays_silent_times_out_and_the_next_event_reaches_it_all_the_same(rig: Rig) -> None:
    socket = await rig.client()
    result = await rig.gateways.send(replace(REQUEST, timeout=timedelta(milliseconds=300)))
    assert isinstance(result, Failure)
    assert result.kind is FailureKind.TIMEOUT
    assert (await heard(socket))["occurrence_id"] == "e-1"
    again, _ = await asyncio.gather(rig.gateways.send(replace(REQUEST, execution_id="e-2")), acknowledge(socket))
    assert isinstance(again, Receipt)


async def test_connections_of_one_client_take_turns(rig: Rig) -> None:
    sockets = [await rig.client(), await rig.client()]
    reached = []

    async def serve(number: int, socket: ClientConnection) -> None:
        while True:
            if (await heard(socket))["type"] == "event":
                reached.append(number)
                await say(socket, type="ack", occurrence_id=f"e-{len(reached)}")

    servers = [asyncio.create_task(serve(number, socket)) for number, socket in enumerate(sockets)]
    for number in range(1, 5):
        assert isinstance(await rig.gateways.send(replace(REQUEST, execution_id=f"e-{number}")), Receipt)
    for server in servers:
        server.cancel()
    assert sorted(reached) == [0, 0, 1, 1]


async def test_those_who_listen_to_a_tag_get_copies_and_nobody_else_does(rig: Rig) -> None:
    socket, listener, deaf = await rig.client(), await rig.listener("paper", "ink"), await rig.listener("toner")
    tagged = replace(REQUEST, tags=("paper",))
    await asyncio.gather(rig.gateways.send(tagged), acknowledge(socket))
    assert (await heard(listener))["occurrence_id"] == "e-1"
    await say(listener, type="ack", occurrence_id="e-1")
    assert await heard(listener) == {"type": "error", "message": "acknowledge not supported for tag-listener"}
    await asyncio.gather(
        rig.gateways.send(replace(REQUEST, execution_id="e-2", tags=("toner",))), _until_event(socket, "e-2")
    )
    assert (await heard(deaf))["occurrence_id"] == "e-2"


async def _until_event(socket: ClientConnection, execution_id: str) -> None:
    while (message := await heard(socket)).get("occurrence_id") != execution_id:
        assert message["type"] == "ack"
    await say(socket, type="ack", occurrence_id=execution_id)


@pytest.mark.parametrize(
    ("message", "why"),
    [
        ({"type": "client-hook", "client_name": "till"}, "token"),
        ({"type": "client-hook", "client_name": "till", "token": "chronos_wrong"}, "API key"),
        ({"type": "client-hook", "token": "KEY"}, "client_name"),
        ({"type": "hello", "token": "KEY"}, "type"),
    ],
)
async def test_a_wrong_first_message_is_told_why_and_disconnected(rig: Rig, message: dict[str, Any], why: str) -> None:
    socket = await rig.connect()
    await say(socket, **{name: rig.backends.key if value == "KEY" else value for name, value in message.items()})
    told = await heard(socket)
    assert (told["type"], why in told["message"]) == ("error", True)
    with pytest.raises(ConnectionClosed):
        await heard(socket)


async def test_a_key_without_the_permission_does_not_get_in(rig: Rig) -> None:
    text, key = new_key("reader", ["job:read"], ["*"], SystemClock())
    rig.backends.keys.keys[key.id] = key
    socket = await rig.connect()
    await say(socket, type="client-hook", client_name="till", token=text)
    assert "event:listen" in (await heard(socket))["message"]


async def test_garbage_is_answered_and_the_connection_lives_on(rig: Rig) -> None:
    socket = await rig.client()
    await socket.send("garbage")
    assert (await heard(socket))["type"] == "error"
    await say(socket, type="ack", occurrence_id="unknown")
    assert "unknown" in (await heard(socket))["message"]
    result, _ = await asyncio.gather(rig.gateways.send(REQUEST), acknowledge(socket))
    assert isinstance(result, Receipt)


async def test_an_ordinary_request_is_no_websocket(rig: Rig) -> None:
    with pytest.raises(InvalidStatus):
        await connect(f"ws://{rig.edge}/nowhere")
