"""Counting runs against the quotas of their namespaces, together with the other replicas."""

from asyncio import Event, TaskGroup
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from libs.clock import Clock
from libs.faults import Fault
from libs.log import get_logger
from services.scheduler.domain.quota import (
    GRANTED,
    NO_LIMITS,
    UNLIMITED,
    Answer,
    Quota,
    Share,
    Verdict,
    chunk_of,
    fair_slots,
    hour_of,
    slots_to_reserve,
)
from services.scheduler.ports.namespaces import NamespaceBook, QuotaStore

PAUSE = timedelta(milliseconds=10)
# How long changes that nobody tells go unnoticed at most: of limits, of the hour, of the lease, of what others need.
AWAITED_PAUSE = timedelta(milliseconds=40)
IDLE_PAUSE = timedelta(milliseconds=250)
# While no namespace has a quota: then only those whose runs are under way may get one.
UNUSED_PAUSE = timedelta(seconds=30)
RETRY_INTERVAL = 0.25
LOOK_INTERVAL = 1.0
IDLE_TIME = 1.0

NO_SHARE = Share()
OnChange = Callable[[str], None]


@dataclass(slots=True)
class _Space:
    """What this replica has of a namespace with limits. Times are monotonic seconds."""

    quota: Quota = NO_LIMITS
    hour: str = ""
    tokens: int = 0
    """Executions of the hour that are reserved here and not begun."""
    tokens_wanted: int = 0
    is_hour_used_up: bool = False
    slots: int = 0
    """Concurrent runs reserved here, under the lease of `generation`."""
    generation: int = 0
    slots_wanted: int = 0
    """Runs that wait for a slot, as far as is known."""
    others: Sequence[Share] = ()
    published: Share = NO_SHARE
    is_awaited: bool = False
    """Whether somebody was told to wait since the last time that he was told to try again."""
    idle_since: float | None = None
    next_try: float = 0.0
    next_look: float = 0.0


class Quotas:
    """Answers at once, from what was reserved ahead; a loop reserves more when it is wanted.

    Never more than the quota is reserved over all replicas. Slots count only while the lease that they are kept under
    is trusted. Runs that were taken over count even if that makes too many; then nothing begins until they have ended.
    """

    def __init__(
        self, store: QuotaStore, book: NamespaceBook, instance: str, lease_generation: Callable[[], int], clock: Clock
    ) -> None:
        """`lease_generation` counts the leases of this replica; 0 while there is none that can be relied on."""
        self._store = store
        self._book = book
        self._instance = instance
        self._lease_generation = lease_generation
        self._clock = clock
        self._running: dict[str, int] = {}
        self._spaces: dict[str, _Space] = {}
        self._book_version = 0
        self._listeners: list[OnChange] = []
        self._wake = Event()
        self._log = get_logger()

    def on_change(self, callback: OnChange) -> None:
        """`callback` is called with a namespace in which runs that wait may ask again."""
        self._listeners.append(callback)

    def ask(self, namespace: str) -> Answer:
        """Whether one more run may begin. One that is granted must be released when it has ended."""
        quota = self._book.quotas_of(namespace)
        if not quota.limits_runs:
            self._running[namespace] = self._running.get(namespace, 0) + 1
            return GRANTED
        space = self._space(namespace, quota)
        answer = self._answer(namespace, space)
        if answer.verdict is Verdict.GRANTED:
            self._running[namespace] = self._running.get(namespace, 0) + 1
            space.tokens -= quota.max_executions_per_hour != UNLIMITED
            space.slots_wanted = max(0, space.slots_wanted - 1)
        elif answer.verdict is Verdict.WAIT:
            space.is_awaited = True
            self._wake.set()
            if quota.max_executions_per_hour != UNLIMITED and not space.tokens:
                space.tokens_wanted += 1
            else:
                space.slots_wanted = min(space.slots_wanted + 1, quota.max_concurrent_runs)
        return answer

    def release(self, namespace: str) -> None:
        """A run that was granted or adopted has ended."""
        left = self._running.get(namespace, 0) - 1
        if left > 0:
            self._running[namespace] = left
        else:
            self._running.pop(namespace, None)
        space = self._spaces.get(namespace)
        if space is not None and space.slots > max(0, fair_slots(space.quota.max_concurrent_runs, space.others)):
            space.slots -= 1  # Others wait, and we have more than our part.
            self._wake.set()

    def adopt(self, namespace: str) -> None:
        """Counts a run that is under way already."""
        self._running[namespace] = self._running.get(namespace, 0) + 1
        quota = self._book.quotas_of(namespace)
        if quota.limits_runs:
            self._space(namespace, quota)
            self._wake.set()

    def under_way(self, namespace: str) -> int:
        """See QuotaGate."""
        return self._running.get(namespace, 0)

    async def run(self) -> None:
        """Reserves, gives back, and says who may try again; until cancelled."""
        while True:
            self._learn_quotas()
            async with TaskGroup() as group:
                for namespace, space in self._spaces.items():
                    group.create_task(self._tend(namespace, space))
            for namespace, space in list(self._spaces.items()):
                self._notify(namespace, space)
                if not space.quota.limits_runs and space.published == NO_SHARE:
                    del self._spaces[namespace]
            await self._clock.sleep(PAUSE)
            await self._clock.wait(self._wake, self._pause())
            self._wake.clear()

    def _pause(self) -> timedelta:
        if not self._spaces:
            return UNUSED_PAUSE
        is_awaited = any(space.is_awaited for space in self._spaces.values())
        return AWAITED_PAUSE if is_awaited else IDLE_PAUSE

    def _space(self, namespace: str, quota: Quota) -> _Space:
        space = self._spaces.setdefault(namespace, _Space())
        hour = hour_of(self._clock.now())
        if space.hour != hour:
            space.hour, space.tokens, space.is_hour_used_up = hour, 0, False
        if space.quota != quota:
            space.quota, space.tokens, space.is_hour_used_up = quota, 0, False
        return space

    def _learn_quotas(self) -> None:
        """Notices changed limits, also of namespaces whose runs are under way."""
        for namespace in self._spaces:
            self._space(namespace, self._book.quotas_of(namespace))
        if self._book_version != self._book.version:
            self._book_version = self._book.version
            for namespace in self._running:
                quota = self._book.quotas_of(namespace)
                if quota.limits_runs:
                    self._space(namespace, quota)

    def _answer(self, namespace: str, space: _Space) -> Answer:
        """What `ask` says now."""
        hourly, most = space.quota.max_executions_per_hour, space.quota.max_concurrent_runs
        if hourly == 0 or (hourly != UNLIMITED and not space.tokens and space.is_hour_used_up):
            return Answer(
                Verdict.REFUSED,
                f"the quota of {hourly:,} execution(s) per hour of the namespace {namespace} was used up; "
                "raise max_executions_per_hour, or wait for the next hour",
            )
        if hourly != UNLIMITED and not space.tokens:
            return Answer(Verdict.WAIT, f"executions of the hour are being reserved for the namespace {namespace}")
        if most != UNLIMITED and self._running.get(namespace, 0) >= self._allowance(space):
            return Answer(
                Verdict.WAIT,
                f"the namespace {namespace} has as many runs under way as its quota allows for ({most:,}); "
                "raise max_concurrent_runs",
            )
        return GRANTED

    def _allowance(self, space: _Space) -> int:
        """How many runs may be under way here."""
        is_relied_on = space.generation and space.generation == self._lease_generation()
        return space.slots if is_relied_on else 0

    async def _tend(self, namespace: str, space: _Space) -> None:
        if self._clock.monotonic() < space.next_try:
            return
        try:
            if space.tokens_wanted and not space.tokens and not space.is_hour_used_up:
                await self._reserve_executions(namespace, space)
            if self._needs_slots(namespace, space) or self._may_give_back(namespace, space):
                await self._share_slots(namespace, space)
            elif space.published.reserved and self._clock.monotonic() >= space.next_look:
                await self._look(namespace, space)
        except Fault as error:
            self._log.warning("quota not reserved", namespace=namespace, error=error.message)
            space.next_try = self._clock.monotonic() + RETRY_INTERVAL

    async def _reserve_executions(self, namespace: str, space: _Space) -> None:
        hour, quota = space.hour, space.quota
        wanted = max(chunk_of(quota.max_executions_per_hour), space.tokens_wanted)
        taken = await self._store.reserve_executions(
            namespace, hour, wanted=wanted, quota=quota.max_executions_per_hour
        )
        if (space.hour, space.quota) == (hour, quota):
            space.tokens += taken
            space.tokens_wanted = 0
            space.is_hour_used_up = taken < wanted

    def _needs_slots(self, namespace: str, space: _Space) -> bool:
        if space.quota.max_concurrent_runs == UNLIMITED or not self._lease_generation():
            return False
        running = self._running.get(namespace, 0)
        return running > self._allowance(space) or (space.slots_wanted > 0 and running >= self._allowance(space))

    def _may_give_back(self, namespace: str, space: _Space) -> bool:
        if space.published == NO_SHARE or not self._lease_generation():
            return False
        if space.quota.max_concurrent_runs == UNLIMITED or self._is_yielding(namespace, space):
            return True
        if space.published.waiting and not space.slots_wanted:
            return True
        if self._running.get(namespace, 0) >= space.published.reserved or space.slots_wanted:
            space.idle_since = None
            return False
        now = self._clock.monotonic()
        space.idle_since = now if space.idle_since is None else space.idle_since
        return now - space.idle_since >= IDLE_TIME

    def _is_yielding(self, namespace: str, space: _Space) -> bool:
        """Whether a slot was freed that others are to have."""
        return space.published.reserved > max(space.slots, self._running.get(namespace, 0))

    async def _look(self, namespace: str, space: _Space) -> None:
        """Notices from time to time that others wait."""
        space.next_look = self._clock.monotonic() + LOOK_INTERVAL
        shares, _ = await self._store.shares(namespace)
        space.others = self._others(shares)

    async def _share_slots(self, namespace: str, space: _Space) -> None:
        generation, is_yielding = self._lease_generation(), self._is_yielding(namespace, space)
        shares, revision = await self._store.shares(namespace)
        space.others, mine = self._others(shares), shares.get(self._instance, NO_SHARE)
        space.slots = min(space.slots, mine.reserved)  # Those of a lost lease are gone.
        share = self._share(namespace, space, is_yielding=is_yielding)
        # What is given back is not used from here on, whatever comes of the transaction; what is taken, only after it.
        space.slots = min(space.slots, share.reserved)
        if share != NO_SHARE:
            space.published = share
        is_done = share == mine or await self._store.put_share(namespace, share, revision=revision)
        if is_done and generation == self._lease_generation():
            space.slots, space.generation, space.published = share.reserved, generation, share
            space.idle_since = None
        if not is_done or self._answer(namespace, space).verdict is Verdict.WAIT:
            space.next_try = self._clock.monotonic() + RETRY_INTERVAL

    def _share(self, namespace: str, space: _Space, *, is_yielding: bool) -> Share:
        most, running = space.quota.max_concurrent_runs, self._running.get(namespace, 0)
        if most == UNLIMITED:
            return NO_SHARE
        waiting = space.slots_wanted
        if is_yielding:
            reserved = max(running, space.slots)
        else:
            reserved = slots_to_reserve(most, space.others, running=running, waiting=waiting)
        return Share(reserved=reserved, waiting=max(0, running + waiting - reserved))

    def _others(self, shares: Mapping[str, Share]) -> list[Share]:
        return [share for instance, share in shares.items() if instance != self._instance]

    def _notify(self, namespace: str, space: _Space) -> None:
        """Lets those who wait ask again, if the answer would be another one now."""
        if not space.is_awaited:
            return
        if self._answer(namespace, space).verdict is Verdict.WAIT:
            if space.tokens or space.quota.max_executions_per_hour == UNLIMITED:
                space.slots_wanted = max(space.slots_wanted, 1)  # Who waited for a token waits for a slot now.
            return
        wanted, running = space.slots_wanted, self._running.get(namespace, 0)
        space.is_awaited, space.slots_wanted = False, 0
        for callback in self._listeners:
            callback(namespace)
        if space.slots_wanted:
            begun = self._running.get(namespace, 0) - running
            space.slots_wanted = max(space.slots_wanted, wanted - begun)
