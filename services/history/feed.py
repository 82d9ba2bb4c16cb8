"""Telling watchers what changes, in the order in which the ledger took it."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import timedelta

from libs.clock import Clock
from libs.faults import Unavailable
from libs.log import get_logger
from libs.process import wait_first
from services.history import metrics
from services.history.domain.records import Change, Record
from services.history.ports import Archive, Position

PAGE = 1_000
PAUSE_AFTER_FAULT = timedelta(seconds=1)

logger = get_logger()

_Told = tuple[int, Record | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Whose executions are watched. An empty `job_id` means all jobs of the namespace."""

    namespace: str
    job_id: str = ""

    def holds(self, record: Record) -> bool:
        """Whether an execution belongs to it."""
        return record.namespace == self.namespace and self.job_id in ("", record.job_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What a watcher is told. Without a record it only says that the watch is past `position`."""

    position: Position
    record: Record | None = None


class _Mailbox:
    """Changes on their way to one watcher. Once full it is closed, and the watcher reads the ledger instead."""

    def __init__(self, scope: Scope, after_seq: int, capacity: int) -> None:
        self.scope = scope
        self.after_seq = after_seq
        self.is_closed = False
        self.has_mail = asyncio.Event()
        self._changes: deque[Change] = deque()
        self._capacity = capacity

    def put(self, change: Change) -> None:
        if self.is_closed or change.seq <= self.after_seq or not self.scope.holds(change.record):
            return
        if len(self._changes) >= self._capacity:
            self.is_closed = True
        else:
            self._changes.append(change)
        self.has_mail.set()

    def take(self) -> Change | None:
        if self._changes:
            return self._changes.popleft()
        self.has_mail.clear()
        return None


class Feed:
    """Follows the ledger once for all watchers of this process, whichever process wrote to it.

    An execution that changes twice between two looks is told once, after its last change.
    """

    def __init__(
        self, archive: Archive, clock: Clock, *, interval: timedelta, keep_alive: timedelta, buffer: int
    ) -> None:
        """Looks every `interval`; lets no watcher wait longer than `keep_alive`; keeps `buffer` changes for each."""
        self._archive = archive
        self._clock = clock
        self._interval = interval
        self._keep_alive = keep_alive
        self._buffer = buffer
        self._mailboxes: set[_Mailbox] = set()
        self._head = 0
        self._is_watched = asyncio.Event()
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """Something was recorded here: look now."""
        self._wake.set()

    async def run(self) -> None:
        """Looks for changes while anybody watches; runs until cancelled."""
        while True:
            await self._is_watched.wait()
            self._wake.clear()
            try:
                is_all = await self._publish()
            except Unavailable as fault:
                logger.error("ledger cannot be read", reason=fault.reason, advice=fault.message)
                await self._clock.sleep(PAUSE_AFTER_FAULT)
                continue
            if is_all:
                await wait_first(self._wake.wait(), self._clock.sleep(self._interval))

    async def watch(self, scope: Scope, after: Position | None) -> AsyncGenerator[Step, None]:
        """What changes after a position, or from now on; endless. Of another ledger's position it knows nothing: it
        begins with the oldest. Close it when done, for example with `contextlib.aclosing`.
        """
        now = await self._archive.position()
        seq = now.seq if after is None else after.seq if after.ledger_id == now.ledger_id else 0
        yield Step(position=Position(ledger_id=now.ledger_id, seq=seq))
        told, patience = self._clock.monotonic(), self._keep_alive.total_seconds() / 2
        while True:
            steps = self._live(scope, seq) if self._is_up_to_date(seq) else self._catch_up(scope, seq)
            async with aclosing(steps) as changes:
                async for seq, record in changes:
                    if record is not None or self._clock.monotonic() - told >= patience:
                        told = self._clock.monotonic()
                        yield Step(position=Position(ledger_id=now.ledger_id, seq=seq), record=record)

    def _is_up_to_date(self, seq: int) -> bool:
        if not self._mailboxes:
            self._head = seq
        return seq >= self._head

    async def _catch_up(self, scope: Scope, seq: int) -> AsyncGenerator[_Told, None]:
        """One page straight from the ledger. Ends with the place it got to."""
        head = self._head
        changes = await self._archive.changes(seq, PAGE)
        for change in changes:
            if scope.holds(change.record):
                yield change.seq, change.record
        reached = changes[-1].seq if changes else seq
        yield (reached if len(changes) == PAGE else max(reached, head)), None

    async def _live(self, scope: Scope, seq: int) -> AsyncGenerator[_Told, None]:
        """What `run` finds, until it comes faster than it is taken."""
        mailbox = _Mailbox(scope, seq, self._buffer)
        self._mailboxes.add(mailbox)
        metrics.WATCHERS.inc()
        self._is_watched.set()
        try:
            while True:
                if (change := mailbox.take()) is not None:
                    seq = change.seq
                    yield seq, change.record
                elif mailbox.is_closed:
                    return
                else:
                    await wait_first(mailbox.has_mail.wait(), self._clock.sleep(self._keep_alive))
                    if not mailbox.has_mail.is_set():
                        seq = max(seq, self._head)
                        yield seq, None
        finally:
            self._mailboxes.discard(mailbox)
            metrics.WATCHERS.dec()
            if not self._mailboxes:
                self._is_watched.clear()

    async def _publish(self) -> bool:
        """Tells the watchers of a page of changes, and whether that was all."""
        head = self._head
        changes = await self._archive.changes(head, PAGE)
        if self._head != head:  # a watcher of older changes came meanwhile
            return False
        for change in changes:
            for mailbox in self._mailboxes:
                mailbox.put(change)
        if changes:
            self._head = changes[-1].seq
        return len(changes) < PAGE
