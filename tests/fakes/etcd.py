"""etcd in memory. Passes the contract suite that the real client passes."""

import asyncio
import math
from bisect import bisect_right
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import assert_never

from libs.clock import Clock, SystemClock
from libs.etcd.errors import LeaseLost
from libs.etcd.port import Log
from libs.etcd.signals import Signal
from libs.etcd.transactions import (
    Compare,
    Delete,
    DeletePrefix,
    Get,
    GetPrefix,
    Operation,
    OperationResult,
    Put,
    Subject,
    TxnResult,
)
from libs.etcd.values import Changes, EndpointStatus, Event, EventKind, KeyValue, Listing, Snapshot
from libs.faults import Fault, Unavailable
from libs.process import wait_first


@dataclass(slots=True)
class _Lease:
    ttl: float
    ends_at: float


@dataclass(slots=True)
class _Store:
    """What all clients of one fake cluster see."""

    clock: Clock
    revision: int = 1
    compacted: int = 0
    items: dict[bytes, KeyValue] = field(default_factory=dict)
    history: list[Changes] = field(default_factory=list)
    leases: dict[int, _Lease] = field(default_factory=dict)
    lease_count: int = 0
    signal: Signal = field(default_factory=Signal)

    def expire(self) -> None:
        now = self.clock.monotonic()
        for lease in [number for number, lease in self.leases.items() if lease.ends_at <= now]:
            self.end_lease(lease)

    def end_lease(self, lease: int) -> None:
        if self.leases.pop(lease, None):
            self.commit([Delete(item.key) for item in self.under(b"") if item.lease == lease])

    def under(self, prefix: bytes) -> list[KeyValue]:
        return [self.items[key] for key in sorted(key for key in self.items if key.startswith(prefix))]

    def since(self, position: int) -> list[Changes]:
        return self.history[bisect_right(self.history, position, key=lambda changes: changes.revision) :]

    def commit(self, steps: Sequence[Operation]) -> list[OperationResult]:
        """Applies the steps at one new revision; there is none when nothing changes."""
        events: list[Event] = []
        results = [self._apply(step, events) for step in steps]
        if events:
            self.revision += 1
            self.history.append(Changes(revision=self.revision, events=tuple(events)))
            self.signal.fire()
        return results

    def _apply(self, step: Operation, events: list[Event]) -> OperationResult:
        match step:
            case Put(key, value, lease):
                self._put(key, value, lease, events)
                return OperationResult()
            case Delete(key):
                return self._delete([key] if key in self.items else [], events)
            case DeletePrefix(prefix):
                return self._delete([item.key for item in self.under(prefix)], events)
            case Get(key):
                return OperationResult(items=(self.items[key],) if key in self.items else ())
            case GetPrefix(prefix, limit, keys_only):
                found = self.under(prefix)[: limit or None]
                return OperationResult(items=tuple(_without_value(item) if keys_only else item for item in found))
            case _:
                assert_never(step)

    def _put(self, key: bytes, value: bytes, lease: int, events: list[Event]) -> None:
        revision = self.revision + 1
        created = self.items[key].create_revision if key in self.items else revision
        self.items[key] = KeyValue(key=key, value=value, create_revision=created, mod_revision=revision, lease=lease)
        events.append(Event(kind=EventKind.PUT, key=key, value=value, create_revision=created, mod_revision=revision))

    def _delete(self, keys: list[bytes], events: list[Event]) -> OperationResult:
        for key in keys:
            del self.items[key]
            events.append(Event(kind=EventKind.DELETE, key=key, mod_revision=self.revision + 1))
        return OperationResult(deleted=len(keys))


class FakeEtcd:
    """A client of an etcd that is a dict. Time passes for leases as the given clock says.

    For faults: `is_away` makes every call fail and followers wait; `lose_answers(n)` lets the next n writes happen and
    then fail, as when a connection breaks in between. `another_client` shares the data, not the faults.
    """

    def __init__(self, clock: Clock | None = None, *, store: _Store | None = None) -> None:
        self._store = store or _Store(clock=clock or SystemClock())
        self._is_away = False
        self._answers_to_lose = 0

    def another_client(self) -> "FakeEtcd":
        return FakeEtcd(store=self._store)

    @property
    def is_away(self) -> bool:
        return self._is_away

    @is_away.setter
    def is_away(self, value: bool) -> None:
        self._is_away = value
        self._store.signal.fire()

    def lose_answers(self, count: int) -> None:
        self._answers_to_lose = count

    async def get(self, key: bytes) -> KeyValue | None:
        await self._arrive()
        return self._store.items.get(key)

    async def get_many(self, keys: Sequence[bytes]) -> list[KeyValue | None]:
        await self._arrive()
        return [self._store.items.get(key) for key in keys]

    async def list_prefix(
        self, prefix: bytes, *, after: bytes = b"", limit: int = 0, keys_only: bool = False
    ) -> Listing:
        await self._arrive()
        found = [item for item in self._store.under(prefix) if item.key > after]
        chosen = tuple(_without_value(item) if keys_only else item for item in found[: limit or None])
        return Listing(revision=self._store.revision, items=chosen, has_more=len(chosen) < len(found))

    async def count(self, prefix: bytes) -> int:
        await self._arrive()
        return len(self._store.under(prefix))

    async def put(self, key: bytes, value: bytes, lease: int = 0) -> int:
        return (await self.txn([], [Put(key, value, lease)])).revision

    async def delete(self, key: bytes) -> bool:
        return (await self.txn([], [Delete(key)])).responses[0].deleted > 0

    async def txn(
        self, compares: Sequence[Compare], success: Sequence[Operation], failure: Sequence[Operation] = ()
    ) -> TxnResult:
        await self._arrive()
        _check(success)
        _check(failure)
        succeeded = all(self._holds(condition) for condition in compares)
        steps = success if succeeded else failure
        for step in steps:
            if isinstance(step, Put) and step.lease and step.lease not in self._store.leases:
                raise LeaseLost("The lease has ended; take a new one.")
        responses, revision = self._store.commit(steps), self._store.revision
        await asyncio.sleep(0)  # The way back: others may act on what was done before its author knows of it.
        if self._answers_to_lose and not all(isinstance(step, Get | GetPrefix) for step in steps):
            self._answers_to_lose -= 1
            raise Unavailable("the answer was lost")
        return TxnResult(succeeded=succeeded, revision=revision, responses=tuple(responses))

    async def follow(self, prefix: bytes, *, deletes_only: bool = False) -> AsyncGenerator[Snapshot | Changes, None]:
        store, position = self._store, 0
        while True:
            seen = store.signal.version
            if not self._is_away:
                store.expire()
                seen = store.signal.version
                if not position or position + 1 < store.compacted:
                    position = store.revision
                    yield Snapshot(revision=position, items=tuple(store.under(prefix)))
                for changes in store.since(position):
                    position = changes.revision
                    events = tuple(e for e in changes.events if e.key.startswith(prefix))
                    wanted = tuple(e for e in events if e.is_delete or not deletes_only)
                    if wanted:
                        yield Changes(revision=position, events=wanted)
            await self._changed_or_expired(seen)

    async def grant(self, ttl: timedelta) -> int:
        await self._arrive()
        seconds = math.ceil(ttl.total_seconds())
        self._store.lease_count += 1
        lease = 0x1000 + self._store.lease_count
        self._store.leases[lease] = _Lease(seconds, self._store.clock.monotonic() + seconds)
        self._store.signal.fire()
        return lease

    async def keep_alive(self, lease: int, *, timeout: timedelta = timedelta(seconds=1)) -> bool:
        await self._arrive()
        if found := self._store.leases.get(lease):
            found.ends_at = self._store.clock.monotonic() + found.ttl
        return found is not None

    async def revoke(self, lease: int) -> None:
        await self._arrive()
        self._store.end_lease(lease)

    async def compact(self, revision: int) -> None:
        await self._arrive()
        if revision > self._store.revision:
            raise Fault("etcd refused: the revision is in the future", reason="ETCD_REFUSED")
        self._store.compacted = max(self._store.compacted, revision)
        self._store.history = [entry for entry in self._store.history if entry.revision >= revision]

    async def statuses(self) -> list[EndpointStatus]:
        if self._is_away:
            return [EndpointStatus(endpoint="fake:2379", is_healthy=False, error="away")]
        return [EndpointStatus(endpoint="fake:2379", is_healthy=True, is_leader=True, version="3.5.30")]

    async def wait_until_ready(self, log: Log) -> None:
        while self._is_away:
            log.warning("waiting for etcd", error="away")
            await self._store.signal.changed()

    async def guard(self, interval: timedelta) -> None:
        await asyncio.Event().wait()

    async def close(self) -> None:
        self._is_away = True

    async def _arrive(self) -> None:
        """The way to the server: others get their turn, and time passes for leases."""
        await asyncio.sleep(0)
        if self._is_away:
            raise Unavailable("No etcd server can be reached at fake:2379.", reason="ETCD_UNAVAILABLE")
        self._store.expire()

    async def _changed_or_expired(self, seen: int) -> None:
        store = self._store
        ends = [lease.ends_at for lease in store.leases.values()]
        if ends and not self._is_away:
            nap = timedelta(seconds=max(0.0, min(ends) - store.clock.monotonic()) + 1e-6)
            await wait_first(store.signal.changed(seen), store.clock.sleep(nap))
        else:
            await store.signal.changed(seen)

    def _holds(self, condition: Compare) -> bool:
        item = self._store.items.get(condition.key)
        match condition.subject:
            case Subject.CREATE_REVISION:
                return (item.create_revision if item else 0) == condition.expected
            case Subject.MOD_REVISION:
                return (item.mod_revision if item else 0) == condition.expected
            case Subject.LEASE:
                return (item.lease if item else 0) == condition.expected
            case Subject.VALUE:
                return item is not None and item.value == condition.expected
            case _:
                assert_never(condition.subject)


def _check(steps: Sequence[Operation]) -> None:
    written = [step.key for step in steps if isinstance(step, Put)]
    if len(written) != len(set(written)):
        raise Fault("etcd refused: duplicate key given in txn request", reason="ETCD_REFUSED")
    if len(steps) > 128:
        raise Fault("etcd refused: too many operations in txn request", reason="ETCD_REFUSED")


def _without_value(item: KeyValue) -> KeyValue:
    return KeyValue(
        key=item.key,
        value=b"",
        create_revision=item.create_revision,
        mod_revision=item.mod_revision,
        lease=item.lease,
    )
