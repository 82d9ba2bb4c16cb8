"""A simulated etcd cluster: one linearizable store behind three members that can fail.

Clients speak with members over connections of the simulated network. What a request does happens at one moment, at the
member that got it, and only while that member sees a leader with a majority. So no acknowledged write is lost and no
read goes back; but a request may be applied late, or its answer may not arrive.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from libs.etcd.values import Changes, EndpointStatus
from libs.faults import Fault
from tests.simulation.connections import Socket
from tests.simulation.etcd_leases import LeaseEndingError, Lessor
from tests.simulation.etcd_members import Member, Members
from tests.simulation.etcd_requests import Answer, BehindError, Hello, NotTriedError, Request
from tests.simulation.etcd_store import Store
from tests.simulation.etcd_watches import Watch, WatchCreated, WatchEnded, Watches, WatchRequest
from tests.simulation.links import Span
from tests.simulation.network import Network

MEMBERS = ("etcd-0", "etcd-1", "etcd-2")
BLIND_SECONDS = 1.0
"""A member that saw no leader for so long refuses requests."""
BLIND_WATCH_SECONDS = 3.0
PATIENCE_SECONDS = 7.0
"""A request that could not be decided for so long is given up."""
RETRY_SECONDS: Span = (0.05, 0.3)
DROPPED_SHARE = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class EtcdConditions:
    """What a cluster is like, in seconds: how long a request takes at a member, how late a lease is ended.

    `late_watch_chance` of the new watches are behind by a span drawn from `watch_delay`.
    """

    work: Span = (0.0003, 0.003)
    lease_lateness: Span = (0.0, 0.7)
    late_watch_chance: float = 0.0
    watch_delay: Span = (0.05, 2.0)


class SimEtcd:
    """The servers. The nemesis calls the methods that break things; all of them may be called at any time."""

    def __init__(
        self,
        network: Network,
        dice: random.Random,
        *,
        names: Sequence[str] = MEMBERS,
        conditions: EtcdConditions | None = None,
        trace: Callable[[str], None] | None = None,
    ) -> None:
        self.store = Store()
        self.members = Members(names, network, dice)
        self.watches = Watches()
        self._network = network
        self._dice = dice
        self._conditions = conditions or EtcdConditions()
        self._trace = trace
        self._answers_to_lose = 0
        self.lessor = Lessor(
            self.store, dice, self._conditions.lease_lateness, lambda: self.members.working_leader() is not None
        )
        self.store.on_commit = self._committed
        self.members.on_election = self._elected
        for member in self.members.all:
            self._listen(member)

    # What goes wrong

    def kill(self, name: str) -> None:
        """A member dies: its connections are reset and what it held is lost. What was committed stays."""
        self._note(f"etcd kill {name}")
        member = self.members.named(name)
        if not member.is_alive:
            return
        self._fall_behind(member)
        member.is_alive = member.is_paused = False
        member.incarnation += 1
        member.backlog.clear()
        for watch in self.watches.of(member):
            self.watches.remove(watch)
        self._network.kill(name)
        self.members.working_leader()

    def restart(self, name: str) -> None:
        """A dead member comes back and catches up."""
        self._note(f"etcd restart {name}")
        member = self.members.named(name)
        if member.is_alive:
            return
        self._network.start(name)
        member.is_alive = True
        member.blind_since = None
        self._listen(member)
        self._catch_up_later(member)

    def pause(self, name: str) -> None:
        """A member stops as with SIGSTOP: what arrives waits."""
        self._note(f"etcd pause {name}")
        member = self.members.named(name)
        if member.is_alive:
            self._fall_behind(member)
            member.is_paused = True
            self._network.pause(name)
            self.members.working_leader()

    def resume(self, name: str) -> None:
        """A paused member goes on with what waited, also with requests whose clients have given up."""
        self._note(f"etcd resume {name}")
        member = self.members.named(name)
        if not member.is_paused:
            return
        member.is_paused = False
        self._network.resume(name)
        backlog, member.backlog = member.backlog, []
        for step in backlog:
            step()
        self._catch_up_later(member)

    def lose_leader(self) -> None:
        """The leader steps down. Nothing is decided until there is another; leases then get their full TTL."""
        self._note("etcd lose leader")
        self.members.depose()

    def compact(self) -> None:
        """Forgets what was before the present revision."""
        self._note("etcd compact")
        if self.store.revision > self.store.compacted:
            self.compact_at(self.store.revision)

    def slow(self, name: str, seconds: float) -> None:
        """Requests at a member take up to so many seconds longer, and overtake each other; 0 undoes it."""
        self._note(f"etcd slow {name} {seconds:.3f}")
        self.members.named(name).slowness = seconds

    def lag(self, name: str, seconds: float) -> None:
        """What watches on a member see is up to so many seconds old; 0 undoes it."""
        self._note(f"etcd lag {name} {seconds:.3f}")
        self.members.named(name).lag = seconds

    def lose_answers(self, count: int) -> None:
        """The next writes are applied, but nobody is told."""
        self._answers_to_lose = count

    def delay_watches(self, seconds: float) -> None:
        """Each watch is behind by a time of its own from now on, up to so many seconds; 0 undoes it."""
        self._note(f"etcd delay watches {seconds:.3f}")
        for watch in self.watches:
            watch.delay = self._dice.uniform(0.0, seconds)

    def cancel_watches(self, name: str) -> None:
        """A member ends all of its watches; clients go on where they were."""
        self._note(f"etcd cancel watches {name}")
        self._end_watches(self.members.named(name), "the member was told to")

    # What clients ask for, beside what the store and the lessor do

    def compact_at(self, revision: int) -> None:
        """See Store.compact. Members that are behind still learn all, in its order."""
        self.store.compact(revision)
        behind = [member.applied + 1 for member in self.members.all if member.is_behind]
        self.store.forget(min([revision, *behind]))

    def status(self, member: Member) -> EndpointStatus:
        """How a member sees itself."""
        has_leader = self.members.sees_leader(member)
        return EndpointStatus(
            endpoint=member.address,
            is_healthy=has_leader,
            is_leader=has_leader and self.members.leader is member,
            version="3.5.30",
            error="" if has_leader else "etcdserver: no leader",
        )

    def confirmation(self, member: Member) -> Callable[[], None]:
        """A read at a member that is behind: it waits until all is there that was committed when it was asked."""
        wanted = 0

        def confirm() -> None:
            nonlocal wanted
            wanted = wanted or self.store.revision
            if member.is_behind and member.applied < wanted:
                raise BehindError

        return confirm

    # Inside

    def _listen(self, member: Member) -> None:
        def accept(socket: Socket) -> None:
            socket.on_message = lambda message: self._received(member, socket, message)

        self._network.listen(member.name, member.address, accept)

    def _received(self, member: Member, socket: Socket, message: object) -> None:
        if member.is_paused:
            member.backlog.append(lambda: self._received(member, socket, message))
            return
        match message:
            case Request():
                delay = self._dice.uniform(*self._conditions.work) + self.members.detour(member)
                if member.slowness:
                    delay += self._dice.uniform(0.0, member.slowness)
                loop = asyncio.get_running_loop()
                loop.call_later(delay, self._decide, member, member.incarnation, socket, message)
            case Hello():
                socket.send(message)
            case WatchRequest():
                self._start_watch(member, socket, message)
            case _:
                raise TypeError(f"etcd got {message!r}")

    def _decide(self, member: Member, incarnation: int, socket: Socket, request: Request) -> None:
        if member.incarnation != incarnation:
            return
        if member.is_paused:
            member.backlog.append(lambda: self._decide(member, incarnation, socket, request))
            return
        if not request.is_local and not self.members.sees_leader(member):
            self._hold(member, socket, request)
            return
        outcome: object
        try:
            outcome = request.do()
        except (LeaseEndingError, BehindError):
            self._retry(member, socket, request)
            return
        except Fault as fault:
            outcome = fault
        if request.is_write and self._answers_to_lose:
            self._answers_to_lose -= 1
            return
        socket.send(Answer(request.number, outcome))

    def _hold(self, member: Member, socket: Socket, request: Request) -> None:
        """Waits for a leader, as a member does that has not noticed yet; some writes are lost on their way to it."""
        now = asyncio.get_running_loop().time()
        if request.held_since is None:
            if member.blind_since is not None and now - member.blind_since >= BLIND_SECONDS:
                refusal = NotTriedError("etcd does not answer: etcdserver: no leader")
                socket.send(Answer(request.number, refusal))
                return
            request.held_since = now
            if request.is_write and self._dice.random() < DROPPED_SHARE:
                return
        if now - request.held_since < PATIENCE_SECONDS:
            self._retry(member, socket, request)

    def _retry(self, member: Member, socket: Socket, request: Request) -> None:
        asyncio.get_running_loop().call_later(
            self._dice.uniform(*RETRY_SECONDS), self._decide, member, member.incarnation, socket, request
        )

    def _start_watch(self, member: Member, socket: Socket, request: WatchRequest) -> None:
        watch = Watch(member, socket, request)
        socket.on_broken = lambda _: self.watches.remove(watch)
        if self._dice.random() < self._conditions.late_watch_chance:
            watch.delay = self._dice.uniform(*self._conditions.watch_delay)
        if request.start < self.store.compacted:
            socket.send(WatchEnded("compacted", is_compacted=True))
            return
        applied = member.applied if member.is_behind else self.store.revision
        socket.send(WatchCreated(applied))
        self.watches.add(watch)
        for changes in self.store.since_under(request.prefix, request.start):
            if changes.revision > applied:
                break
            watch.tell(changes.revision, changes.events)

    def _committed(self, changes: Changes) -> None:
        for member in self.members.all:
            if member.is_behind:
                continue
            if member.lag or not member.is_running or not self.members.sees_leader(member):
                self._fall_behind(member, changes.revision - 1)
                self._catch_up_later(member)
        self.watches.tell(changes)

    def _fall_behind(self, member: Member, applied: int = 0) -> None:
        if not member.is_behind:
            member.is_behind = True
            member.applied = applied or self.store.revision

    def _catch_up_later(self, member: Member) -> None:
        asyncio.get_running_loop().call_later(
            max(member.lag, self._dice.uniform(*RETRY_SECONDS)), self._catch_up, member, member.incarnation
        )

    def _catch_up(self, member: Member, incarnation: int) -> None:
        if member.incarnation != incarnation or not member.is_running or not member.is_behind:
            return
        if not self.members.sees_leader(member):
            now = asyncio.get_running_loop().time()
            if member.blind_since is not None and now - member.blind_since >= BLIND_WATCH_SECONDS:
                self._end_watches(member, "etcdserver: no leader")
            self._catch_up_later(member)
            return
        for changes in self.store.since(member.applied + 1):
            self.watches.tell(changes, only=member)
        member.is_behind = False

    def _end_watches(self, member: Member, reason: str) -> None:
        for watch in self.watches.of(member):
            self.watches.remove(watch)
            watch.send(WatchEnded(reason))

    def _elected(self) -> None:
        leader = self.members.leader
        self._note(f"etcd leader {leader.name if leader else '-'} term {self.members.term}")
        self.lessor.extend_all()

    def _note(self, event: str) -> None:
        if self._trace is not None:
            self._trace(event)
