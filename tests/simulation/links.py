"""Hosts and the directed links between them: how long a message takes, whether it arrives, whom it tells."""

import asyncio
import random
from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass, field
from typing import Protocol

Span = tuple[float, float]
"""The least and the most seconds that something takes; drawn evenly in between."""

ContextOf = Callable[[str], Context]
"""A fresh context in which callbacks of the named node run; the empty name is the harness."""


class Passage(Protocol):
    """What runs between two nodes and wants to know what happens to them."""

    def link_changed(self) -> None:
        """A link was cut or healed, or one of the nodes was paused or goes on."""

    def host_killed(self, host: "Host") -> None:
        """One of the nodes was killed."""


@dataclass(slots=True, eq=False)
class Host:
    """A node as its network card sees it. Each start of the node is another incarnation."""

    name: str
    context_of: ContextOf
    is_alive: bool = True
    is_paused: bool = False
    incarnation: int = 0
    passages: dict[Passage, None] = field(default_factory=dict)
    _context: Context | None = None

    @property
    def context(self) -> Context:
        """Where the callbacks of this incarnation run."""
        if self._context is None:
            self._context = self.context_of(self.name)
        return self._context

    def kill(self) -> None:
        """Ends this incarnation."""
        self.is_alive = self.is_paused = False
        self.incarnation += 1

    def start(self) -> None:
        """Begins the next incarnation, in a new context."""
        self.is_alive = True
        self._context = None


@dataclass(slots=True, eq=False)
class Link:
    """One direction between two nodes. `loss` is the chance that a message is lost; a connection sends it again."""

    src: Host
    dst: Host
    dice: random.Random
    delay: Span
    loss: float = 0.0
    extra: float = 0.0
    is_cut: bool = False
    held_until: float = 0.0

    def arrival(self, now: float) -> float:
        """When something that is sent now arrives."""
        least, most = self.delay
        due = now + self.extra + least + (most - least) * self.dice.random()
        return due if due > self.held_until else self.held_until

    def is_losing(self) -> bool:
        """Whether what is sent now gets lost by chance."""
        return self.loss > 0.0 and self.dice.random() < self.loss

    def stall(self, seconds: float) -> None:
        """Holds back what is sent from now on, for so long."""
        self.held_until = asyncio.get_running_loop().time() + seconds
