"""History over gRPC."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import grpc
from chronos.history.v1 import ledger_service_pb2 as ledger_pb2
from chronos.history.v1 import ledger_service_pb2_grpc as ledger_grpc

from libs.faults import Unavailable
from libs.rpc.cancellation import unasked_is_unavailable
from services.dispatcher.ports import Acknowledgement

Call = grpc.aio.StreamStreamCall[ledger_pb2.RecordRequest, ledger_pb2.RecordResponse]


class GrpcLedger:
    """Opens a stream to one of the live histories, chosen at random."""

    def __init__(
        self,
        addresses: Callable[[], Sequence[str]],
        open_channel: Callable[[str], grpc.aio.Channel],
        dice: random.Random,
    ) -> None:
        self._addresses = addresses
        self._open_channel = open_channel
        self._dice = dice

    @asynccontextmanager
    async def open(self) -> AsyncIterator["GrpcLedgerStream"]:
        """See Ledger."""
        addresses = self._addresses()
        if not addresses:
            raise Unavailable("no history is running")
        address = self._dice.choice(list(addresses))
        channel = self._open_channel(address)
        try:
            call = ledger_grpc.LedgerServiceStub(channel).Record()
            try:
                yield GrpcLedgerStream(call, address)
            finally:
                call.cancel()
        finally:
            await channel.close()


class GrpcLedgerStream:
    """One open stream."""

    def __init__(self, call: Call, address: str) -> None:
        self._call = call
        self._address = address

    async def send(self, batch: ledger_pb2.RecordRequest) -> None:
        """See LedgerStream."""
        try:
            with unasked_is_unavailable():
                await self._call.write(batch)
        except (grpc.RpcError, grpc.aio.UsageError, asyncio.InvalidStateError) as error:
            raise self._broken(error) from error

    async def acknowledgements(self) -> AsyncIterator[Acknowledgement]:
        """See LedgerStream."""
        responses = aiter(self._call)
        while (response := await self._next(responses)) is not None:
            yield Acknowledgement(
                batch=response.batch,
                stale_execution_ids=frozenset(response.stale_execution_ids),
                claimed_execution_ids=frozenset(response.claimed_execution_ids),
            )

    async def _next(self, responses: AsyncIterator[ledger_pb2.RecordResponse]) -> ledger_pb2.RecordResponse | None:
        """The next one; None at the end."""
        try:
            with unasked_is_unavailable():
                return await anext(responses, None)
        except grpc.RpcError as error:
            raise self._broken(error) from error

    def _broken(self, error: Exception) -> Unavailable:
        reason = error.details() if isinstance(error, grpc.aio.AioRpcError) else str(error)
        return Unavailable(f"the stream to history at {self._address} broke: {reason}")
