"""The RPC edge for schedulers."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import grpc
from chronos.dispatcher.v1 import delivery_service_pb2 as delivery_pb2
from chronos.dispatcher.v1 import delivery_service_pb2_grpc as delivery_grpc

from libs.clock import Clock
from libs.log import get_logger
from services.dispatcher.convert import write_news
from services.dispatcher.intake import Intake
from services.dispatcher.streams import Outbox, Streams


class DeliveryServicer(delivery_grpc.DeliveryServiceServicer):
    """Serves DeliveryService. `run` must be running: it owns the tasks that read from the streams."""

    def __init__(
        self, streams: Streams, intake: Intake, clock: Clock, *, interval: timedelta, has_room: Callable[[], bool]
    ) -> None:
        self._streams = streams
        self._intake = intake
        self._clock = clock
        self._interval = interval
        self._has_room = has_room
        self._readers: asyncio.TaskGroup | None = None
        self._log = get_logger()

    async def run(self) -> None:
        """Keeps the readers of all streams, until cancelled."""
        async with asyncio.TaskGroup() as self._readers:
            try:
                await asyncio.Event().wait()
            finally:
                self._readers = None

    async def Deliver(
        self, request_iterator: AsyncIterator[delivery_pb2.DeliverRequest], context: Any
    ) -> AsyncIterator[delivery_pb2.DeliverResponse]:
        """See the contract."""
        if self._readers is None:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the dispatcher is starting or stopping")
            return
        outbox = self._streams.open()
        reader = self._readers.create_task(self._read(request_iterator, outbox))
        try:
            async for news in outbox.news(self._clock, self._interval, self._has_room):
                yield write_news(news)
        finally:
            self._streams.close(outbox)
            reader.cancel()

    async def _read(self, requests: AsyncIterator[delivery_pb2.DeliverRequest], outbox: Outbox) -> None:
        try:
            async for request in requests:
                self._intake.take(request, outbox)
        except grpc.RpcError as error:
            self._log.info("stream of a scheduler broke", error=str(error))
        except Exception as error:  # noqa: BLE001 - one stream must not end the others
            self._log.error("stream of a scheduler failed", exc_info=error)
        finally:
            outbox.close()
