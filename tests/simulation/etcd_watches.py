"""The watches of a simulated etcd: each in order and without a gap, none ordered against another."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from libs.etcd.values import Changes, Event
from tests.simulation.connections import Socket
from tests.simulation.etcd_members import Member


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchRequest:
    """Asks for the changes of a prefix from revision `start` on."""

    prefix: bytes
    start: int
    deletes_only: bool


@dataclass(frozen=True, slots=True)
class WatchCreated:
    """The watch has begun; `revision` is how far the member is."""

    revision: int


@dataclass(frozen=True, slots=True)
class WatchEnded:
    """The member ends the watch."""

    reason: str
    is_compacted: bool = False


@dataclass(slots=True, eq=False)
class Watch:
    """The server's side of one watch. `delay` are the seconds that it is behind its member."""

    member: Member
    socket: Socket
    request: WatchRequest
    delay: float = 0.0
    last_due: float = 0.0
    is_over: bool = False

    def tell(self, revision: int, events: Sequence[Event]) -> None:
        """Sends what is wanted of a revision."""
        request = self.request
        if revision < request.start:
            return
        wanted = tuple(e for e in events if e.is_delete) if request.deletes_only else tuple(events)
        if wanted:
            self.send(Changes(revision=revision, events=wanted))

    def send(self, message: object) -> None:
        """Sends after the delay; never before what was sent earlier."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        due = now + self.delay
        if due <= now and self.last_due <= now:
            self.socket.send(message)
            return
        # Timers of one moment may fire in any order: each later one is a little later.
        self.last_due = max(due, self.last_due + 1e-6)
        loop.call_at(self.last_due, self.socket.send, message)


class Watches:
    """All watches of a cluster, found by the prefixes of a key."""

    def __init__(self) -> None:
        self._by_prefix: dict[bytes, dict[Watch, None]] = {}
        self._lengths: list[int] = []

    def __iter__(self) -> Iterator[Watch]:
        return iter([watch for group in self._by_prefix.values() for watch in group])

    def add(self, watch: Watch) -> None:
        """Tells a watch of what comes from now on."""
        self._by_prefix.setdefault(watch.request.prefix, {})[watch] = None
        self._measure()

    def remove(self, watch: Watch) -> None:
        """Forgets a watch; one that is not there is fine."""
        watch.is_over = True
        group = self._by_prefix.get(watch.request.prefix, {})
        group.pop(watch, None)
        if not group and self._by_prefix.pop(watch.request.prefix, None) is not None:
            self._measure()

    def of(self, member: Member) -> list[Watch]:
        """The watches on a member."""
        return [watch for watch in self if watch.member is member]

    def tell(self, changes: Changes, only: Member | None = None) -> None:
        """Tells the watches on members that are up to date, or those on `only`."""
        told: dict[Watch, list[Event]] = {}
        by_prefix = self._by_prefix
        for event in changes.events:
            for length in self._lengths:
                group = by_prefix.get(event.key[:length]) if length <= len(event.key) else None
                if not group:
                    continue
                for watch in group:
                    if (watch.member is only) if only is not None else not watch.member.is_behind:
                        told.setdefault(watch, []).append(event)
        for watch, events in told.items():
            watch.tell(changes.revision, events)

    def _measure(self) -> None:
        self._lengths = sorted({len(prefix) for prefix in self._by_prefix})
