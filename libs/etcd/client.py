"""The asyncio client: plain calls, transactions, paged listings, followed prefixes, leases."""

import asyncio
import math
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from datetime import timedelta

from chronos.third_party.etcd.rpc_pb2 import (
    CompactionRequest,
    DeleteRangeRequest,
    LeaseGrantRequest,
    LeaseKeepAliveRequest,
    LeaseKeepAliveResponse,
    LeaseRevokeRequest,
    PutRequest,
    RangeRequest,
    RangeResponse,
    StatusRequest,
    TxnRequest,
    TxnResponse,
)
from grpc.aio import AioRpcError, UnaryUnaryMultiCallable

from libs.clock import Clock, SystemClock
from libs.etcd import keys as names
from libs.etcd import wire
from libs.etcd.backoff import Backoff
from libs.etcd.endpoints import REQUIRE_LEADER, Endpoint, Endpoints, EtcdTls
from libs.etcd.errors import Compacted, LeaseLost, fault_of
from libs.etcd.guard import Guard
from libs.etcd.port import Etcd, Log
from libs.etcd.transactions import (
    Compare,
    Delete,
    DeletePrefix,
    Get,
    GetPrefix,
    Operation,
    OperationResult,
    Put,
    TxnResult,
)
from libs.etcd.values import Changes, EndpointStatus, Event, EventKind, KeyValue, Listing, Snapshot
from libs.etcd.watch import watch
from libs.faults import Unavailable

__all__ = [
    "Changes",
    "Compacted",
    "Compare",
    "Delete",
    "DeletePrefix",
    "EndpointStatus",
    "Etcd",
    "EtcdClient",
    "EtcdTls",
    "Event",
    "EventKind",
    "Get",
    "GetPrefix",
    "KeyValue",
    "LeaseLost",
    "Listing",
    "Operation",
    "OperationResult",
    "Put",
    "Snapshot",
    "TxnResult",
]

PAGE_SIZE = 500
MOST_OPERATIONS = 128
STATUS_TIMEOUT = timedelta(seconds=1)
READY_LOG_INTERVAL = 3.0
# Killed under load, these can lose acknowledged writes; etcd's own post-mortem says to leave them.
UNSAFE_VERSIONS = ("3.5.0", "3.5.1", "3.5.2")


class EtcdClient:
    """An etcd cluster. See the port `Etcd` for what each call promises."""

    def __init__(self, endpoints: Sequence[str], *, tls: EtcdTls | None = None, clock: Clock | None = None) -> None:
        """`endpoints` are `host:port` of some or all servers. Connects at the first call."""
        self._endpoints = Endpoints(endpoints, tls)
        self._clock = clock or SystemClock()

    async def get(self, key: bytes) -> KeyValue | None:
        """See Etcd."""
        response = await self._endpoints.call(_range, RangeRequest(key=key), is_repeatable=True)
        return wire.key_value(response.kvs[0]) if response.kvs else None

    async def get_many(self, keys: Sequence[bytes]) -> list[KeyValue | None]:
        """See Etcd."""
        found: list[KeyValue | None] = []
        revision = 0
        for start in range(0, len(keys), MOST_OPERATIONS):
            request = TxnRequest()
            for key in keys[start : start + MOST_OPERATIONS]:
                request.success.add().request_range.CopyFrom(RangeRequest(key=key, revision=revision))
            response = await self._endpoints.call(_txn, request, is_repeatable=True)
            revision = revision or response.header.revision
            found.extend(result.item for result in wire.txn_result(response).responses)
        return found

    async def list_prefix(
        self, prefix: bytes, *, after: bytes = b"", limit: int = 0, keys_only: bool = False
    ) -> Listing:
        """See Etcd. Fetches pages of `PAGE_SIZE`, so that other tasks run in between."""
        items: list[KeyValue] = []
        request = RangeRequest(
            key=after + b"\0" if after else prefix, range_end=names.end_of(prefix), keys_only=keys_only
        )
        while True:
            request.limit = min(PAGE_SIZE, limit - len(items)) if limit else PAGE_SIZE
            response = await self._endpoints.call(_range, request, is_repeatable=True)
            items.extend(map(wire.key_value, response.kvs))
            request.revision = request.revision or response.header.revision
            if not response.more or (limit and len(items) >= limit):
                return Listing(revision=request.revision, items=tuple(items), has_more=response.more)
            request.key = items[-1].key + b"\0"

    async def count(self, prefix: bytes) -> int:
        """See Etcd."""
        request = RangeRequest(key=prefix, range_end=names.end_of(prefix), count_only=True)
        response = await self._endpoints.call(_range, request, is_repeatable=True)
        return int(response.count)

    async def put(self, key: bytes, value: bytes, lease: int = 0) -> int:
        """See Etcd."""
        request = PutRequest(key=key, value=value, lease=lease)
        return (await self._endpoints.call(lambda endpoint: endpoint.kv.Put, request)).header.revision

    async def delete(self, key: bytes) -> bool:
        """See Etcd."""
        request = DeleteRangeRequest(key=key)
        return (await self._endpoints.call(lambda endpoint: endpoint.kv.DeleteRange, request)).deleted > 0

    async def txn(
        self, compares: Sequence[Compare], success: Sequence[Operation], failure: Sequence[Operation] = ()
    ) -> TxnResult:
        """See Etcd."""
        request = TxnRequest(
            compare=map(wire.compare, compares),
            success=map(wire.operation, success),
            failure=map(wire.operation, failure),
        )
        is_repeatable = all(isinstance(step, Get | GetPrefix) for step in (*success, *failure))
        return wire.txn_result(await self._endpoints.call(_txn, request, is_repeatable=is_repeatable))

    async def follow(self, prefix: bytes, *, deletes_only: bool = False) -> AsyncGenerator[Snapshot | Changes, None]:
        """See Etcd."""
        backoff = Backoff()
        revision = 0
        while True:
            try:
                if not revision:
                    listing = await self.list_prefix(prefix)
                    revision = listing.revision
                    yield Snapshot(revision=revision, items=listing.items)
                stream = self._watch(prefix, revision + 1, deletes_only, backoff)
                async with aclosing(stream):
                    async for changes in stream:
                        revision = changes.revision
                        yield changes
            except Compacted:
                revision = 0
            except Unavailable:
                pass  # Go on from `revision`, perhaps with another server.
            await self._clock.sleep(backoff.next())

    async def grant(self, ttl: timedelta) -> int:
        """See Etcd."""
        request = LeaseGrantRequest(TTL=math.ceil(ttl.total_seconds()))
        return (await self._endpoints.call(lambda endpoint: endpoint.lease.LeaseGrant, request, is_repeatable=True)).ID

    async def keep_alive(self, lease: int, *, timeout: timedelta = timedelta(seconds=1)) -> bool:
        """See Etcd."""
        endpoint = await self._endpoints.pick()
        call = endpoint.lease.LeaseKeepAlive(timeout=timeout.total_seconds(), metadata=REQUIRE_LEADER)
        try:
            await call.write(LeaseKeepAliveRequest(ID=lease))
            response = await call.read()
        except AioRpcError as error:
            self._endpoints.demote(endpoint)
            raise fault_of(error) from error
        finally:
            call.cancel()
        if not isinstance(response, LeaseKeepAliveResponse):
            raise Unavailable("etcd ended the keep-alive.", reason="ETCD_UNAVAILABLE")
        return response.TTL > 0

    async def revoke(self, lease: int) -> None:
        """See Etcd."""
        try:
            request = LeaseRevokeRequest(ID=lease)
            await self._endpoints.call(lambda endpoint: endpoint.lease.LeaseRevoke, request, is_repeatable=True)
        except LeaseLost:
            return

    async def compact(self, revision: int) -> None:
        """See Etcd."""
        try:
            request = CompactionRequest(revision=revision)
            await self._endpoints.call(lambda endpoint: endpoint.kv.Compact, request, is_repeatable=True)
        except Compacted:
            return

    async def statuses(self) -> list[EndpointStatus]:
        """See Etcd."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_status(endpoint)) for endpoint in self._endpoints.all]
        return [task.result() for task in tasks]

    async def wait_until_ready(self, log: Log) -> None:
        """See Etcd. Warns of servers whose version can lose data."""
        next_line = self._clock.monotonic()
        while True:
            try:
                await self.get(names.META)
                break
            except Unavailable as fault:
                if self._clock.monotonic() >= next_line:
                    log.warning("waiting for etcd", error=fault.message)
                    next_line = self._clock.monotonic() + READY_LOG_INTERVAL
                await self._clock.sleep(timedelta(milliseconds=100))
        for status in await self.statuses():
            if status.version in UNSAFE_VERSIONS:
                log.warning("etcd version can lose data", endpoint=status.endpoint, version=status.version)

    async def guard(self, interval: timedelta) -> None:
        """See Etcd."""
        await Guard(self._endpoints.all, self._endpoints.prefer, self._clock, interval).run()

    async def close(self) -> None:
        """See Etcd."""
        await self._endpoints.close()

    async def _watch(
        self, prefix: bytes, start: int, deletes_only: bool, backoff: Backoff
    ) -> AsyncGenerator[Changes, None]:
        endpoint = await self._endpoints.pick()
        try:
            stream = watch(endpoint, prefix, start=start, deletes_only=deletes_only, backoff=backoff)
            async with aclosing(stream):
                async for changes in stream:
                    yield changes
        except Compacted:
            raise
        except Unavailable:
            self._endpoints.demote(endpoint)
            raise


def _range(endpoint: Endpoint) -> UnaryUnaryMultiCallable[RangeRequest, RangeResponse]:
    return endpoint.kv.Range


def _txn(endpoint: Endpoint) -> UnaryUnaryMultiCallable[TxnRequest, TxnResponse]:
    return endpoint.kv.Txn


async def _status(endpoint: Endpoint) -> EndpointStatus:
    try:
        response = await endpoint.maintenance.Status(StatusRequest(), timeout=STATUS_TIMEOUT.total_seconds())
    except AioRpcError as error:
        return EndpointStatus(endpoint=endpoint.address, is_healthy=False, error=error.details() or error.code().name)
    return EndpointStatus(
        endpoint=endpoint.address,
        is_healthy=response.leader != 0 and not response.errors,
        is_leader=response.leader == response.header.member_id,
        version=response.version,
        db_size_bytes=response.dbSize,
        error="; ".join(response.errors),
    )
