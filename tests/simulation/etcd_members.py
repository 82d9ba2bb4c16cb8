"""The members of a simulated etcd cluster: who reaches whom, who leads, who is behind."""

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from tests.simulation.links import Link, Span
from tests.simulation.network import Network

ELECTION_SECONDS: Span = (1.0, 2.0)
"""How long members wait for a silent leader before they elect another; etcd's default."""
HANDOVER_SECONDS: Span = (0.1, 2.5)
RETRY_SECONDS: Span = (0.5, 1.5)


@dataclass(slots=True, eq=False)
class Member:
    """One server. `applied` is the last revision that its watches know of while it is behind."""

    name: str
    paths: "list[tuple[Member, Link, Link]]" = field(default_factory=list)
    is_alive: bool = True
    is_paused: bool = False
    is_behind: bool = False
    applied: int = 1
    lag: float = 0.0
    slowness: float = 0.0
    incarnation: int = 0
    blind_since: float | None = None
    backlog: list[Callable[[], None]] = field(default_factory=list)

    @property
    def address(self) -> str:
        """Where clients find it."""
        return f"{self.name}:2379"

    @property
    def is_running(self) -> bool:
        """Neither dead nor paused."""
        return self.is_alive and not self.is_paused


class Members:
    """Elects leaders. Looks at the network when something happens, not all the time."""

    def __init__(self, names: Sequence[str], network: Network, dice: random.Random) -> None:
        self.all: Final = [Member(name) for name in names]
        for member in self.all:
            member.paths = [
                (peer, network.link(member.name, peer.name), network.link(peer.name, member.name))
                for peer in self.all
                if peer is not member
            ]
        self.leader: Member | None = self.all[0]
        self.term = 1
        self.on_election: Callable[[], None] = _nothing
        self._dice = dice
        self._election: asyncio.TimerHandle | None = None
        self._former: Member | None = None

    def named(self, name: str) -> Member:
        """The member of that name."""
        return next(member for member in self.all if member.name == name)

    def working_leader(self) -> Member | None:
        """The leader, if it reaches a majority now. Else an election is on its way."""
        leader = self.leader
        if leader is not None and self._has_majority(leader):
            return leader
        if self._election is None:
            self._call_election(ELECTION_SECONDS)
        return None

    def sees_leader(self, member: Member) -> bool:
        """Whether a member can have anything decided now. Notes since when it cannot."""
        leader = self.working_leader()
        if leader is not None and (leader is member or _reaches(member, leader)):
            member.blind_since = None
            return True
        if member.blind_since is None:
            member.blind_since = asyncio.get_running_loop().time()
        return False

    def depose(self) -> None:
        """The leader steps down; another is elected some 100 ms to seconds later."""
        self._former, self.leader = self.leader, None
        if self._election is not None:
            self._election.cancel()
        self._call_election(HANDOVER_SECONDS)

    def detour(self, member: Member) -> float:
        """The additional seconds that slow links between members cost a decision that is asked for at `member`."""
        leader = self.leader
        if leader is None or not leader.paths:
            return 0.0
        extra = min(there.extra + back.extra for _, there, back in leader.paths)
        for peer, there, back in member.paths:
            if peer is leader:
                extra += there.extra + back.extra
        return extra

    def _has_majority(self, member: Member) -> bool:
        if not member.is_running:
            return False
        near = 1
        for peer, there, back in member.paths:
            if peer.is_alive and not peer.is_paused and not there.is_cut and not back.is_cut:
                near += 1
        return near * 2 > len(self.all)

    def _call_election(self, span: Span) -> None:
        self._election = asyncio.get_running_loop().call_later(self._dice.uniform(*span), self._elect)

    def _elect(self) -> None:
        self._election = None
        if self.leader is not None and self._has_majority(self.leader):
            return  # It was silent for less than an election timeout.
        able = [member for member in self.all if self._has_majority(member)]
        if not able:
            self.leader = None  # Nobody was followed for too long: whoever comes next begins a term.
            self._call_election(RETRY_SECONDS)
            return
        others = [member for member in able if member is not self._former]
        self._former, self.leader = None, self._dice.choice(others or able)
        self.term += 1
        for member in self.all:
            member.blind_since = None
        self.on_election()


def _reaches(member: Member, leader: Member) -> bool:
    return any(peer is leader and not there.is_cut and not back.is_cut for peer, there, back in member.paths)


def _nothing() -> None:
    """Nobody wants to know."""
