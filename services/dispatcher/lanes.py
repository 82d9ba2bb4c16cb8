"""A queue that is fair to endpoints: one that is slow or busy does not hold up the others."""

from collections import deque
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class _Lane(Generic[T]):
    """What waits for one endpoint, and how much is under way there."""

    waiting: deque[T] = field(default_factory=deque)
    active: int = 0
    is_ready: bool = False


class Lanes(Generic[T]):
    """A lane for each key, first in first out; lanes take turns. At most `most_active` of a lane are out at a time."""

    def __init__(self, most_active: int) -> None:
        self._most_active = most_active
        self._lanes: dict[str, _Lane[T]] = {}
        self._ready: deque[str] = deque()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def push(self, key: str, item: T) -> None:
        """Puts an item at the end of its lane."""
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = _Lane()
        lane.waiting.append(item)
        self._count += 1
        self._make_ready(key, lane)

    def pop(self) -> T | None:
        """The next item, which counts as active until `done`; None when nothing waits that may go now."""
        if not self._ready:
            return None
        key = self._ready.popleft()
        lane = self._lanes[key]
        lane.is_ready = False
        lane.active += 1
        item = lane.waiting.popleft()
        self._count -= 1
        self._make_ready(key, lane)
        return item

    def done(self, key: str) -> None:
        """An item of that lane is out no more."""
        lane = self._lanes[key]
        lane.active -= 1
        if not lane.waiting and not lane.active:
            del self._lanes[key]
        else:
            self._make_ready(key, lane)

    def take_all(self) -> list[T]:
        """Everything that waits; nothing waits afterwards."""
        items = [item for lane in self._lanes.values() for item in lane.waiting]
        self._ready.clear()
        self._count = 0
        for lane in self._lanes.values():
            lane.waiting.clear()
            lane.is_ready = False
        self._lanes = {key: lane for key, lane in self._lanes.items() if lane.active}
        return items

    def _make_ready(self, key: str, lane: _Lane[T]) -> None:
        if lane.waiting and not lane.is_ready and lane.active < self._most_active:
            lane.is_ready = True
            self._ready.append(key)
