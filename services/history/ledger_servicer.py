"""The ledger's inner side over gRPC."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
from chronos.history.v1.ledger_service_pb2 import (
    RecordRequest,
    RecordResponse,
    SealShardRequest,
    SealShardResponse,
)
from chronos.history.v1.ledger_service_pb2_grpc import LedgerServiceServicer

from libs.clock import Clock
from services.history.convert import Limits, execution_from, records_from, us_from, uuid_text
from services.history.domain.moments import to_us
from services.history.ledger import Acknowledgement, Batch, Recording


class LedgerServicer(LedgerServiceServicer):
    """See LedgerService."""

    def __init__(self, recording: Recording, clock: Clock, *, max_response_bytes: int) -> None:
        self._recording = recording
        self._clock = clock
        self._max_response_bytes = max_response_bytes

    async def Record(
        self, request_iterator: AsyncIterator[RecordRequest], context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> None:
        """See LedgerService."""

        async def acknowledge(done: Acknowledgement) -> None:
            stale_ids = [uuid_text(stale) for stale in done.stale_ids]
            await context.write(RecordResponse(batch=done.number, stale_execution_ids=stale_ids))

        await self._recording.record(self._batches(request_iterator), acknowledge)

    async def SealShard(
        self, request: SealShardRequest, context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> SealShardResponse:
        """See LedgerService."""
        seal = await self._recording.seal(request.shard, request.epoch, us_from(request.watermark))
        return SealShardResponse(
            unfinished=[execution_from(record) for record in seal.unfinished],
            recorded_execution_ids=[uuid_text(recorded) for recorded in seal.recorded_ids],
        )

    async def _batches(self, requests: AsyncIterator[RecordRequest]) -> AsyncIterator[Batch]:
        async for request in requests:
            limits = Limits(max_response_bytes=self._max_response_bytes, now_us=to_us(self._clock.now()))
            yield Batch(number=request.batch, records=records_from(request.records, limits))
