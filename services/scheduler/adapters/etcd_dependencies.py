"""Who depends on whom, in etcd: an index from a job to those that run after it."""

from collections.abc import Callable, Collection, Mapping, Sequence

from chronos.scheduler.v1 import job_pb2

from libs.etcd import keys
from libs.etcd.port import Etcd
from libs.etcd.signals import Signal
from libs.etcd.transactions import Delete, GetPrefix, Operation, Put
from libs.etcd.values import Event, KeyValue, Snapshot

READS_PER_TXN = 100


def dependency_operations(old: job_pb2.Job | None, new: job_pb2.Job | None) -> list[Operation]:
    """What a transaction that creates, changes or deletes a job does to the index."""
    before, after = _edges(old), _edges(new)
    deletes: list[Operation] = [Delete(key) for key in sorted(before.keys() - after.keys())]
    puts: list[Operation] = [Put(key, after[key]) for key in sorted(after) if before.get(key) != after[key]]
    return deletes + puts


class EtcdDependencyStore:
    """See ports.DependencyStore."""

    def __init__(self, etcd: Etcd) -> None:
        self._etcd = etcd

    async def missing(self, namespace: str, job_ids: Sequence[str]) -> frozenset[str]:
        """See ports.DependencyStore."""
        found = await self._etcd.get_many([keys.job_index(namespace, job_id) for job_id in job_ids])
        return frozenset(job_id for job_id, item in zip(job_ids, found, strict=True) if item is None)

    async def parents_below(self, namespace: str, job_id: str) -> Mapping[str, Collection[str]]:
        """See ports.DependencyStore. Reads level by level; every job once."""
        parents_of: dict[str, set[str]] = {}
        level, seen = [job_id], {job_id}
        while level:
            for parent, children in (await self._children_of(namespace, level)).items():
                for child in children:
                    parents_of.setdefault(child, set()).add(parent)
            level = sorted(parents_of.keys() - seen)
            seen.update(level)
        return parents_of

    async def children(self, namespace: str, job_id: str, *, limit: int) -> Sequence[str]:
        """See ports.DependencyStore."""
        prefix = keys.dependants_of(namespace, job_id)
        listing = await self._etcd.list_prefix(prefix, limit=limit, keys_only=True)
        return [keys.last_part(item.key) for item in listing.items]

    async def _children_of(self, namespace: str, parents: Sequence[str]) -> dict[str, list[str]]:
        children: dict[str, list[str]] = {}
        for start in range(0, len(parents), READS_PER_TXN):
            chunk = parents[start : start + READS_PER_TXN]
            reads = [GetPrefix(keys.dependants_of(namespace, parent), keys_only=True) for parent in chunk]
            result = await self._etcd.txn([], reads)
            for parent, response in zip(chunk, result.responses, strict=True):
                children[parent] = [keys.last_part(item.key) for item in response.items]
        return children


class EtcdDependants:
    """See ports.DependantsBook. Kept up to date by `run`; while etcd is away it stays as it was."""

    def __init__(self, etcd: Etcd) -> None:
        self._etcd = etcd
        self._children: dict[tuple[str, str], tuple[str, ...]] = {}
        self._signal = Signal()
        self._listeners: list[Callable[[str, str], None]] = []

    def on_change(self, callback: Callable[[str, str], None]) -> None:
        """See ports.DependantsBook."""
        self._listeners.append(callback)

    def children_of(self, namespace: str, job_id: str) -> tuple[str, ...]:
        """See ports.DependantsBook."""
        return self._children.get((namespace, job_id), ())

    async def ready(self) -> None:
        """Waits until the index was read. Nothing may fire before: it would seem to have no dependants."""
        while not self._signal.version:
            await self._signal.changed()

    async def run(self) -> None:
        """Follows the index; for ever."""
        async for update in self._etcd.follow(keys.DEPENDANTS):
            if isinstance(update, Snapshot):
                self._children = _all_children(update.items)
                for parent in self._children:
                    self._tell(*parent)
            else:
                for event in update.events:
                    self._learn(event)
            self._signal.fire()

    def _tell(self, namespace: str, parent: str) -> None:
        for callback in self._listeners:
            callback(namespace, parent)

    def _learn(self, event: Event) -> None:
        namespace, parent, child = _names(event.key)
        children = set(self.children_of(namespace, parent)) - {child}
        if not event.is_delete:
            children.add(child)
        if children:
            self._children[namespace, parent] = tuple(sorted(children))
            self._tell(namespace, parent)
        else:
            self._children.pop((namespace, parent), None)


def _edges(job: job_pb2.Job | None) -> dict[bytes, bytes]:
    """The job's entries in the index, with their values."""
    if job is None:
        return {}
    uid = job.uid.encode()
    return {keys.dependant(job.namespace, parent, job.id): uid for parent in job.dependencies.depends_on}


def _all_children(items: Sequence[KeyValue]) -> dict[tuple[str, str], tuple[str, ...]]:
    children: dict[tuple[str, str], list[str]] = {}
    for item in items:  # In order, and so are the children.
        namespace, parent, child = _names(item.key)
        children.setdefault((namespace, parent), []).append(child)
    return {parent: tuple(names) for parent, names in children.items()}


def _names(key: bytes) -> tuple[str, str, str]:
    namespace, parent, child = key.removeprefix(keys.DEPENDANTS).decode().split("/")
    return namespace, parent, child
