"""A queue that is fair: neither a slow or busy endpoint nor another namespace's burst holds up the others."""

from collections import deque
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from libs.fair_queue import FairQueue

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class _Flow(Generic[T]):
    """What one namespace has, with one priority, for one endpoint."""

    namespace: str
    priority: int
    lane: "_Lane[T]"
    waiting: deque[T] = field(default_factory=deque)


@dataclass(slots=True, eq=False)
class _Lane(Generic[T]):
    """One endpoint: how much is under way there, and the flows that wait because that is the most allowed."""

    endpoint: str
    active: int = 0
    flows: dict[tuple[str, int], _Flow[T]] = field(default_factory=dict)
    blocked: FairQueue[_Flow[T]] = field(default_factory=FairQueue)


class Lanes(Generic[T]):
    """Namespaces take turns; within one the highest priority goes first, and within that endpoints take turns.

    At most `most_active` of an endpoint are out at a time. Where more want to go there, namespaces take turns too.
    A flow is in one place: it is the next one, among the ready ones, or blocked in its lane. One that `remove` has left
    empty stays there until its turn comes.
    """

    def __init__(self, most_active: int) -> None:
        self._most_active = most_active
        self._lanes: dict[str, _Lane[T]] = {}
        # Mostly there is one flow, which need not queue.
        self._next: _Flow[T] | None = None
        self._ready: FairQueue[_Flow[T]] = FairQueue()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def push(self, endpoint: str, namespace: str, priority: int, item: T) -> None:
        """Puts an item behind those of its endpoint, namespace and priority."""
        lane = self._lanes.get(endpoint)
        if lane is None:
            lane = self._lanes[endpoint] = _Lane(endpoint)
        flow = lane.flows.get((namespace, priority))
        if flow is None:
            flow = lane.flows[namespace, priority] = _Flow(namespace, priority, lane)
            self._line_up(flow)
        flow.waiting.append(item)
        self._count += 1

    def pop(self) -> T | None:
        """The next item, which counts as active until `done`; None when nothing waits that may go now."""
        while self._next is not None or self._ready:
            flow = self._next or self._ready.pop()
            self._next = None
            lane = flow.lane
            if lane.active >= self._most_active:
                lane.blocked.push(flow.namespace, flow.priority, flow)
            elif not flow.waiting:
                del lane.flows[flow.namespace, flow.priority]
                self._wake(lane)
            else:
                return self._take(flow, lane)
        return None

    def remove(self, endpoint: str, namespace: str, priority: int, item: T) -> None:
        """Takes out an item that waits; looks at those of its endpoint, namespace and priority."""
        lane = self._lanes.get(endpoint)
        flow = lane.flows.get((namespace, priority)) if lane is not None else None
        if flow is not None and item in flow.waiting:
            flow.waiting.remove(item)
            self._count -= 1

    def done(self, endpoint: str) -> None:
        """An item of that endpoint is out no more."""
        lane = self._lanes[endpoint]
        lane.active -= 1
        self._wake(lane)

    def take_all(self) -> list[T]:
        """Everything that waits; nothing waits afterwards."""
        items = [item for lane in self._lanes.values() for flow in lane.flows.values() for item in flow.waiting]
        self._next = None
        self._ready = FairQueue()
        self._count = 0
        for lane in self._lanes.values():
            lane.flows.clear()
            lane.blocked = FairQueue()
        self._lanes = {endpoint: lane for endpoint, lane in self._lanes.items() if lane.active}
        return items

    def _take(self, flow: _Flow[T], lane: _Lane[T]) -> T:
        item = flow.waiting.popleft()
        self._count -= 1
        lane.active += 1
        if flow.waiting:
            self._line_up(flow)
        else:
            del lane.flows[flow.namespace, flow.priority]
        return item

    def _wake(self, lane: _Lane[T]) -> None:
        if lane.blocked:
            self._make_ready(lane.blocked.pop())
        elif not lane.active and not lane.flows:
            del self._lanes[lane.endpoint]

    def _line_up(self, flow: _Flow[T]) -> None:
        if flow.lane.active < self._most_active:
            self._make_ready(flow)
        else:
            flow.lane.blocked.push(flow.namespace, flow.priority, flow)

    def _make_ready(self, flow: _Flow[T]) -> None:
        if self._next is None and not self._ready:
            self._next = flow
            return
        if self._next is not None:
            self._ready.push(self._next.namespace, self._next.priority, self._next)
            self._next = None
        self._ready.push(flow.namespace, flow.priority, flow)
