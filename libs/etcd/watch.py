"""One watch on one server.

Each watch is a stream of its own on the server's shared HTTP/2 connection. Progress notifications are not used: some
etcd releases send them ahead of events, and all they would save is a listing after a long silence.
"""

import asyncio
from collections.abc import AsyncGenerator
from datetime import timedelta

from chronos.third_party.etcd.rpc_pb2 import WatchCreateRequest, WatchRequest, WatchResponse
from grpc.aio import AioRpcError, StreamStreamCall

from libs.etcd import keys, wire
from libs.etcd.backoff import Backoff
from libs.etcd.endpoints import REQUIRE_LEADER, Endpoint
from libs.etcd.errors import Compacted, fault_of
from libs.etcd.values import Changes, Event
from libs.faults import Unavailable

CREATE_TIMEOUT = timedelta(seconds=2)

WatchCall = StreamStreamCall[WatchRequest, WatchResponse]


async def watch(
    endpoint: Endpoint, prefix: bytes, *, start: int, deletes_only: bool, backoff: Backoff
) -> AsyncGenerator[Changes, None]:
    """The changes from revision `start` on, as one server tells them.

    Raises Compacted when it cannot tell them all, Unavailable when the stream ends or the guard ends it.
    """
    call = endpoint.watch.Watch(metadata=REQUIRE_LEADER)
    try:
        with endpoint.readers.reading(call.cancel):
            await _create(call, prefix, start=start, deletes_only=deletes_only)
            backoff.reset()
            pending: list[Event] = []
            while True:
                response = await _read(call)
                pending.extend(map(wire.event, response.events))
                if pending and not response.fragment:
                    yield Changes(revision=pending[-1].mod_revision, events=tuple(pending))
                    pending = []
    except AioRpcError as error:
        raise fault_of(error) from error
    finally:
        call.cancel()


async def _create(call: WatchCall, prefix: bytes, *, start: int, deletes_only: bool) -> None:
    request = WatchCreateRequest(
        key=prefix,
        range_end=keys.end_of(prefix),
        start_revision=start,
        fragment=True,
        filters=[WatchCreateRequest.NOPUT] if deletes_only else [],
    )
    try:
        async with asyncio.timeout(CREATE_TIMEOUT.total_seconds()):
            await call.write(WatchRequest(create_request=request))
            created = await _read(call)
    except TimeoutError as error:
        raise Unavailable("etcd did not start a watch in time.", reason="ETCD_UNAVAILABLE") from error
    if created.header.revision < start - 1:
        # The store is older than what was seen of it: a lagging member, or one restored from a backup.
        raise Compacted("The store went back; list again.")


async def _read(call: WatchCall) -> WatchResponse:
    response = await call.read()
    if not isinstance(response, WatchResponse):
        raise Unavailable("etcd ended the watch.", reason="ETCD_UNAVAILABLE")
    if response.compact_revision:
        raise Compacted("The revision is not kept any more; list again.")
    if response.canceled:
        raise Unavailable(f"etcd cancelled the watch: {response.cancel_reason}", reason="ETCD_UNAVAILABLE")
    return response
