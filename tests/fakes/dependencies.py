"""Dependencies in memory."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence


class FakeDependants:
    """Who depends on whom, at hand, as a test says."""

    def __init__(self, children: Mapping[tuple[str, str], Iterable[str]] | None = None) -> None:
        self.children = {parent: tuple(names) for parent, names in (children or {}).items()}
        self.listeners: list[Callable[[str, str], None]] = []

    def children_of(self, namespace: str, job_id: str) -> tuple[str, ...]:
        return self.children.get((namespace, job_id), ())

    def on_change(self, callback: Callable[[str, str], None]) -> None:
        self.listeners.append(callback)

    def add(self, namespace: str, parent: str, child: str) -> None:
        """Lets a job depend on another one."""
        self.children[namespace, parent] = (*self.children_of(namespace, parent), child)
        for callback in self.listeners:
            callback(namespace, parent)


class FakeDependencyStore:
    """The jobs of one namespace, each with those that it depends on."""

    def __init__(self, parents_of: Mapping[str, Collection[str]] | None = None) -> None:
        self.parents_of = {name: frozenset(parents) for name, parents in (parents_of or {}).items()}

    async def missing(self, namespace: str, job_ids: Sequence[str]) -> frozenset[str]:
        return frozenset(job_ids) - self.parents_of.keys()

    async def parents_below(self, namespace: str, job_id: str) -> Mapping[str, Collection[str]]:
        below: dict[str, set[str]] = {}
        level = {job_id}
        while level:
            found = {(child, p) for child, parents in self.parents_of.items() for p in parents & level}
            level = {child for child, _ in found} - below.keys()
            for child, parent in found:
                below.setdefault(child, set()).add(parent)
        return below

    async def children(self, namespace: str, job_id: str, *, limit: int) -> Sequence[str]:
        return sorted(child for child, parents in self.parents_of.items() if job_id in parents)[:limit]
