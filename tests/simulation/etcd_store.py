"""What a simulated etcd keeps: sorted keys with revisions, the keys of leases, and the history that watches read."""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import assert_never

from libs.etcd.errors import Compacted, LeaseLost
from libs.etcd.keys import end_of
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
from libs.etcd.values import Changes, Event, EventKind, KeyValue, Listing
from libs.faults import Fault

MOST_OPERATIONS = 128


@dataclass(slots=True, eq=False)
class LeaseState:
    """A lease that has not been revoked. `ends_at` is a time of the loop, `ttl` is in seconds."""

    ttl: float
    ends_at: float
    keys: dict[bytes, None] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class _View:
    """The history of the keys under a prefix, as far as it was looked at."""

    changes: list[Changes] = field(default_factory=list)
    up_to: int = 0


class Store:
    """The committed state of a cluster. Each method is one atomic step; all answers are immutable values."""

    def __init__(self) -> None:
        self.revision = 1
        self.compacted = 0
        self.leases: dict[int, LeaseState] = {}
        self.on_commit: Callable[[Changes], None] = _ignore
        """Is told of every revision as it is made."""
        self._items: dict[bytes, KeyValue] = {}
        self._keys: list[bytes] = []
        self._history: list[Changes] = []
        self._views: dict[bytes, _View] = {}

    def get(self, key: bytes) -> KeyValue | None:
        """The key as it is now."""
        return self._items.get(key)

    def get_many(self, keys: Sequence[bytes]) -> tuple[int, list[KeyValue | None]]:
        """The revision and the keys, in the order asked for."""
        return self.revision, [self._items.get(key) for key in keys]

    def count(self, prefix: bytes) -> int:
        """How many keys start with `prefix`."""
        start, stop = self._span(prefix)
        return stop - start

    def list_prefix(self, prefix: bytes, after: bytes, limit: int, keys_only: bool) -> Listing:
        """See Etcd."""
        start, stop = self._span(prefix)
        if after:
            start = max(start, bisect_right(self._keys, after))
        last = min(stop, start + limit) if limit else stop
        return Listing(revision=self.revision, items=self._read(start, last, keys_only), has_more=last < stop)

    def require(self, revision: int) -> None:
        """Raises Compacted when nothing can be read as of that revision any more."""
        if revision < self.compacted:
            raise Compacted("The revision is not kept any more; list again.")

    def txn(self, compares: Sequence[Compare], success: Sequence[Operation], failure: Sequence[Operation]) -> TxnResult:
        """See Etcd."""
        _check(success)
        _check(failure)
        succeeded = True
        for condition in compares:
            if not self._holds(condition):
                succeeded = False
                break
        steps = success if succeeded else failure
        for step in steps:
            if isinstance(step, Put) and step.lease and step.lease not in self.leases:
                raise LeaseLost("The lease has ended; take a new one.")
        responses = self._commit(steps)
        return TxnResult(succeeded=succeeded, revision=self.revision, responses=responses)

    def end_lease(self, lease: int) -> None:
        """Forgets a lease and deletes its keys, at one revision. Raises LeaseLost when there is no such lease."""
        state = self.leases.pop(lease, None)
        if state is None:
            raise LeaseLost("The lease has ended; take a new one.")
        self._commit([Delete(key) for key in sorted(state.keys)])

    def compact(self, revision: int) -> None:
        """Refuses to tell from now on what was before `revision`. Raises Compacted when it does so already."""
        if revision > self.revision:
            raise Fault("etcd refused: the revision is in the future", reason="ETCD_REFUSED")
        if revision <= self.compacted:
            raise Compacted("The revision is not kept any more; list again.")
        self.compacted = revision

    def forget(self, revision: int) -> None:
        """Drops the history before `revision`: no watch needs it."""
        del self._history[: bisect_left(self._history, revision, key=_revision_of)]

    def since(self, revision: int) -> list[Changes]:
        """What was committed from `revision` on, oldest first."""
        if revision > self.revision:
            return []
        return self._history[bisect_left(self._history, revision, key=_revision_of) :]

    def since_under(self, prefix: bytes, revision: int) -> list[Changes]:
        """The same of the keys under a prefix alone. Watches begin anew often, and most that happens is elsewhere."""
        view = self._views.setdefault(prefix, _View())
        for changes in self.since(view.up_to + 1):
            events = tuple(event for event in changes.events if event.key.startswith(prefix))
            if events:
                view.changes.append(Changes(revision=changes.revision, events=events))
        view.up_to = self.revision
        return view.changes[bisect_left(view.changes, revision, key=_revision_of) :]

    def _commit(self, steps: Sequence[Operation]) -> tuple[OperationResult, ...]:
        events: list[Event] = []
        results = tuple([self._apply(step, events) for step in steps])
        if events:
            self.revision += 1
            changes = Changes(revision=self.revision, events=tuple(events))
            self._history.append(changes)
            self.on_commit(changes)
        return results

    def _apply(self, step: Operation, events: list[Event]) -> OperationResult:
        match step:
            case Put(key, value, lease):
                self._put(key, value, lease, events)
                return NOTHING
            case Delete(key):
                return self._delete([key] if key in self._items else [], events)
            case DeletePrefix(prefix):
                start, stop = self._span(prefix)
                return self._delete(self._keys[start:stop], events)
            case Get(key):
                found = self._items.get(key)
                return NOTHING if found is None else OperationResult(items=(found,))
            case GetPrefix(prefix, limit, keys_only):
                start, stop = self._span(prefix)
                return OperationResult(items=self._read(start, min(stop, start + limit) if limit else stop, keys_only))
            case _:
                assert_never(step)

    def _put(self, key: bytes, value: bytes, lease: int, events: list[Event]) -> None:
        revision = self.revision + 1
        before = self._items.get(key)
        if before is None:
            insort(self._keys, key)
        elif before.lease and before.lease in self.leases:
            self.leases[before.lease].keys.pop(key, None)
        created = revision if before is None else before.create_revision
        self._items[key] = KeyValue(key=key, value=value, create_revision=created, mod_revision=revision, lease=lease)
        if lease:
            self.leases[lease].keys[key] = None
        events.append(Event(kind=EventKind.PUT, key=key, value=value, create_revision=created, mod_revision=revision))

    def _delete(self, keys: Sequence[bytes], events: list[Event]) -> OperationResult:
        for key in keys:
            item = self._items.pop(key)
            del self._keys[bisect_left(self._keys, key)]
            if item.lease in self.leases:
                self.leases[item.lease].keys.pop(key, None)
            events.append(Event(kind=EventKind.DELETE, key=key, mod_revision=self.revision + 1))
        return OperationResult(deleted=len(keys))

    def _span(self, prefix: bytes) -> tuple[int, int]:
        start = bisect_left(self._keys, prefix)
        end = end_of(prefix)
        return start, len(self._keys) if end == b"\0" else bisect_left(self._keys, end, start)

    def _read(self, start: int, stop: int, keys_only: bool) -> tuple[KeyValue, ...]:
        items = self._items
        found = [items[key] for key in self._keys[start:stop]]
        return tuple([_without_value(item) for item in found] if keys_only else found)

    def _holds(self, condition: Compare) -> bool:
        item = self._items.get(condition.key)
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


NOTHING = OperationResult()


def _check(steps: Sequence[Operation]) -> None:
    if len(steps) > MOST_OPERATIONS:
        raise Fault("etcd refused: too many operations in txn request", reason="ETCD_REFUSED")
    if len(steps) < 2:
        return
    written = [step.key for step in steps if isinstance(step, Put)]
    deleted = {step.key for step in steps if isinstance(step, Delete)}
    prefixes = tuple(step.prefix for step in steps if isinstance(step, DeletePrefix))
    if len(written) != len(set(written)) or any(key in deleted or key.startswith(prefixes) for key in written):
        raise Fault("etcd refused: duplicate key given in txn request", reason="ETCD_REFUSED")


def _revision_of(changes: Changes) -> int:
    return changes.revision


def _without_value(item: KeyValue) -> KeyValue:
    return KeyValue(
        key=item.key,
        value=b"",
        create_revision=item.create_revision,
        mod_revision=item.mod_revision,
        lease=item.lease,
    )


def _ignore(_: Changes) -> None:
    """Nobody watches."""
