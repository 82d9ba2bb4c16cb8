"""A real gRPC server that takes orders: in this process, or in one of its own that can be killed.

    python -m tests.servers.grpc PORT [FILE]

writes the execution id of each call to FILE before it answers.
"""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import uvloop
from grpc_reflection.v1alpha import reflection, reflection_pb2

from tests.servers.orders import POOL, SERVICE, Order, Placed

START_SECONDS = 30.0
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What arrived."""

    path: str
    metadata: Mapping[str, str | bytes]
    request: bytes
    seconds_left: float
    peer: str


@dataclass(slots=True)
class OrderService(grpc.GenericRpcHandler):
    """Its methods do what their names say. `Fail` answers with the code that `customer` names."""

    calls: list[Call] = field(default_factory=list)
    record: Path | None = None
    handled: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a call has arrived."""
    release: asyncio.Event = field(default_factory=asyncio.Event)
    """Lets `Slow` answer."""

    def service(self, handler_call_details: Any) -> "grpc.RpcMethodHandler[Any, Any] | None":
        path = handler_call_details.method
        if not path.startswith(f"/{SERVICE}/"):
            return None

        async def answer(request: bytes, context: Any) -> bytes:
            metadata = {pair[0]: pair[1] for pair in context.invocation_metadata() or ()}
            left = context.time_remaining()
            call = Call(path=path, metadata=metadata, request=request, seconds_left=left, peer=context.peer())
            self.calls.append(call)
            self.handled.set()
            if self.record is not None:
                with self.record.open("a") as file:
                    file.write(f"{metadata['x-chronos-execution-id']}\n")
            return await self._answer(path.rpartition("/")[2], request, context)

        return grpc.unary_unary_rpc_method_handler(answer)

    async def _answer(self, method: str, request: bytes, context: Any) -> bytes:
        match method:
            case "Fail":
                order = Order.FromString(request)
                await context.abort(grpc.StatusCode[order.customer], order.note.decode())
            case "Big":
                return b"x" * (5 * 1024 * 1024)
            case "Slow":
                await self.release.wait()
                return b""
            case "Count":
                return bytes(Placed(amount_cents=len(self.calls) - 1).SerializeToString())
            case "Break":
                return b"\xff\xff\xff"
            case "Place":
                order = Order.FromString(request)
                placed = Placed(order_id=f"order of {order.customer}", amount_cents=order.amount_cents)
                placed.text = order.note.decode()
                return bytes(placed.SerializeToString())
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "Method not found!")
        raise AssertionError


class GrpcServer:
    """A server in this process. `start` after `stop` keeps the port.

    `reflection` names the versions that it offers; one that is terse tells one file at a time, as some servers do.
    """

    def __init__(
        self,
        *,
        credentials: grpc.ServerCredentials | None = None,
        reflection: Sequence[str] = ("v1",),
        is_terse: bool = False,
        options: Sequence[tuple[str, int]] = (),
    ) -> None:
        self.credentials = credentials
        self._reflection = reflection
        self._is_terse = is_terse
        self._options = list(options)
        self._server: grpc.aio.Server | None = None
        self.orders = OrderService()
        self.reflection_code = grpc.StatusCode.OK
        """Another one than OK is all that the reflection tells."""
        self.may_reflect = asyncio.Event()
        """The reflection waits for it."""
        self.may_reflect.set()
        self.reflected: list[Mapping[str, str | bytes]] = []
        """The metadata of each call to the reflection."""
        self.port = 0

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def calls(self) -> list[Call]:
        return self.orders.calls

    @property
    def peers(self) -> set[str]:
        """The other ends of the connections that calls came over."""
        return {call.peer for call in self.calls}

    async def start(self) -> None:
        self._server = grpc.aio.server(options=self._options)
        self._server.add_generic_rpc_handlers([self.orders, *map(self._reflect, self._reflection)])
        if self.credentials is None:
            self.port = self._server.add_insecure_port(f"127.0.0.1:{self.port}")
        else:
            self.port = self._server.add_secure_port(f"127.0.0.1:{self.port}", self.credentials)
        await self._server.start()

    async def stop(self, grace: float | None = None) -> None:
        if self._server is not None:
            await self._server.stop(grace)

    async def __aenter__(self) -> "GrpcServer":
        await self.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.stop()

    def _reflect(self, version: str) -> grpc.GenericRpcHandler:
        servicer = reflection.aio.ReflectionServicer([SERVICE], pool=POOL)

        async def tell(requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
            self.reflected.append({pair[0]: pair[1] for pair in context.invocation_metadata()})
            await self.may_reflect.wait()
            if self.reflection_code is not grpc.StatusCode.OK:
                await context.abort(self.reflection_code, "not for you")
            async for told in servicer.ServerReflectionInfo(requests, context):
                if self._is_terse:
                    del told.file_descriptor_response.file_descriptor_proto[1:]
                yield told

        handler = grpc.stream_stream_rpc_method_handler(
            tell,
            request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
            response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
        )
        return grpc.method_handlers_generic_handler(
            f"grpc.reflection.{version}.ServerReflection", {"ServerReflectionInfo": handler}
        )


class GrpcServerProcess:
    """A server in a process of its own, which keeps a record in `directory`. `start` after `kill` keeps the port."""

    def __init__(self, directory: Path | None = None) -> None:
        self._record = directory / "calls" if directory is not None else None
        self._process: subprocess.Popen[str] | None = None
        self.port = 0

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def execution_ids(self) -> set[str]:
        """Of all calls that it has answered, or was about to, over all its lives."""
        return set(self._record.read_text().split()) if self._record and self._record.exists() else set()

    def start(self) -> None:
        """Returns when it serves."""
        command = [sys.executable, "-m", "tests.servers.grpc", str(self.port)]
        command += [str(self._record)] if self._record is not None else []
        environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'gen'}"}
        self._process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        begin = time.monotonic()
        line = self._process.stdout.readline()
        assert line, f"it ended with {self._process.wait()} after {time.monotonic() - begin:.1f} s"
        self.port = int(line)

    def kill(self) -> None:
        """SIGKILL: no goodbye."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait(START_SECONDS)
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None


async def main(port: int, record: Path | None) -> None:
    server = GrpcServer()
    server.port, server.orders.record = port, record
    await server.start()
    print(server.port, flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None))
