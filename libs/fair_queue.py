"""A queue in which one namespace's burst does not hold up another's items."""

from collections import deque
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class FairQueue(Generic[T]):
    """Namespaces take turns; within one the highest priority goes first, and within that the oldest.

    Pushing and popping take the same time however much waits: at most as many steps as a namespace has priorities in
    use. A namespace for which nothing waits takes no memory, and joins at the end of the round when it comes back.
    """

    def __init__(self) -> None:
        self._spaces: dict[str, dict[int, deque[T]]] = {}
        self._turns: deque[str] = deque()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __bool__(self) -> bool:
        return self._count > 0

    def __iter__(self) -> Iterator[T]:
        """Every item, in no order; nothing may be pushed or popped meanwhile."""
        for levels in self._spaces.values():
            for level in levels.values():
                yield from level

    def push(self, namespace: str, priority: int, item: T) -> None:
        """Puts an item behind those of its namespace and priority. A larger number goes first."""
        self._level(namespace, priority).append(item)
        self._count += 1

    def push_front(self, namespace: str, priority: int, item: T) -> None:
        """Puts an item before those of its namespace and priority; the namespace keeps its place in the round."""
        self._level(namespace, priority).appendleft(item)
        self._count += 1

    def pop(self) -> T:
        """The next item. Raises IndexError when there is none."""
        if not self._turns:
            raise IndexError("pop from an empty fair queue")
        namespace = self._turns.popleft()
        levels = self._spaces[namespace]
        priority = max(levels)
        level = levels[priority]
        item = level.popleft()
        self._count -= 1
        if not level:
            del levels[priority]
        if levels:
            self._turns.append(namespace)
        else:
            del self._spaces[namespace]
        return item

    def take_if(self, predicate: Callable[[T], bool]) -> list[T]:
        """Takes out what fits, namespace by namespace; the rest keeps its order. Looks at every item."""
        taken: list[T] = []
        for namespace in list(self._turns):
            levels = self._spaces[namespace]
            for priority in sorted(levels, reverse=True):
                _split(levels, priority, predicate, taken)
            if not levels:
                del self._spaces[namespace]
        self._turns = deque(namespace for namespace in self._turns if namespace in self._spaces)
        self._count -= len(taken)
        return taken

    def _level(self, namespace: str, priority: int) -> deque[T]:
        levels = self._spaces.get(namespace)
        if levels is None:
            levels = self._spaces[namespace] = {}
            self._turns.append(namespace)
        level = levels.get(priority)
        if level is None:
            level = levels[priority] = deque()
        return level


def _split(levels: dict[int, deque[T]], priority: int, predicate: Callable[[T], bool], taken: list[T]) -> None:
    kept: deque[T] = deque()
    for item in levels[priority]:
        (taken if predicate(item) else kept).append(item)
    if kept:
        levels[priority] = kept
    else:
        del levels[priority]
