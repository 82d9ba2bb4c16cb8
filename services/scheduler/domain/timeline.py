"""What is due next, over all jobs that a replica fires."""

import heapq
from collections.abc import Callable, Iterator
from datetime import datetime

from services.scheduler.domain.identity import microseconds, moment_of
from services.scheduler.domain.in_force import Reign, Succession, give_up_late, like_the_first, reign_at, succeed
from services.scheduler.domain.occurrence import FiringJob
from services.scheduler.domain.schedule.sequence import Schedule


class Entry:
    """A job's place on the timeline: its next occurrence and the last one that it passed, in Unix microseconds.

    `reigns` are the versions of the job that still have a say, the oldest first. `is_behind` while missed runs are
    being made up for, one after the other. One that is not live is not on the timeline.
    """

    __slots__ = ("due_us", "is_behind", "is_live", "passed_us", "reigns", "shard")

    def __init__(self, shard: int, reigns: tuple[Reign, ...], *, passed_us: int) -> None:
        self.shard = shard
        self.reigns = reigns
        self.due_us = 0
        self.passed_us = passed_us
        self.is_live = False
        self.is_behind = False

    @property
    def job(self) -> FiringJob:
        """The version in force at the next occurrence."""
        if len(self.reigns) == 1:
            return self.reigns[0].job
        return reign_at(self.reigns, moment_of(self.due_us)).job

    @property
    def newest(self) -> FiringJob:
        """The version in force now."""
        return self.reigns[-1].job

    @property
    def schedule(self) -> Schedule:
        """The occurrences of the version in force and of those that follow and make up for missed runs like it."""
        return Succession(like_the_first(self.reigns))

    def go_on(self, after_us: int) -> bool:
        """Moves to the first occurrence after a moment; False when there is none any more."""
        after = moment_of(after_us)
        while len(self.reigns) > 1:
            until = self.reigns[0].until
            if (until is None or until > after) and self.reigns[0].next_after(after) is not None:
                break
            self.reigns = self.reigns[1:]
        following = self.reigns[0].next_after(after)
        if following is not None:
            self.due_us = microseconds(following)
        return following is not None


class Timeline:
    """The next occurrence of every job, the earliest first.

    Jobs that are due at the same moment share one place in the heap, so a thousand jobs at :00 cost one pop; of those
    the ones of higher priority come first.
    """

    def __init__(self) -> None:
        self.on_earlier: Callable[[], None] = lambda: None
        """Is called when something is due earlier than everything so far."""
        self._moments: list[int] = []
        self._entries: dict[int, list[Entry]] = {}
        self._by_job: dict[tuple[int, str, str], Entry] = {}
        self._at_rest: dict[tuple[int, str, str], Entry] = {}
        self._ended: dict[int, dict[str, Entry]] = {}

    def put(self, shard: int, job: FiringJob, *, after_us: int, since: datetime | None = None) -> None:
        """Places a job at its first occurrence after a moment.

        A new version of a job that is there takes over at `since`, when it came into force: what the old one had due
        until then stays due, what it passed is not repeated, and missed runs go on being made up for where they were.
        For the same version, whose calendars have changed, the occurrences still to come are looked up again.
        """
        known = self._known(shard, job)
        if known is None:
            start = max(moment_of(after_us), job.effective_at)
            reign = Reign(job=job, after=start)
            self._settle(Entry(shard, (reign,), passed_us=microseconds(start)), job, start)
        elif known.newest.version == job.version:
            self._replace(known, job, after_us)
        else:
            self._succeed(known, job, since or job.effective_at)

    def end(self, shard: int, reigns: tuple[Reign, ...], *, after_us: int) -> Entry | None:
        """Places what a deleted job still had due after a moment, besides the job that may have its id now."""
        entry = Entry(shard, reigns, passed_us=after_us)
        if not entry.go_on(after_us):
            return None
        entry.is_live = True
        self._ended.setdefault(shard, {})[entry.newest.uid] = entry
        self._place(entry, entry.due_us)
        return entry

    def give_up_late(self, entry: Entry, *, after_us: int) -> None:
        """Takes a job on after a moment; what it is late with from then on is not made up for."""
        reigns = give_up_late(entry.reigns)
        self._settle(Entry(entry.shard, reigns, passed_us=after_us), entry.newest, moment_of(after_us))

    def find(self, shard: int, job: FiringJob) -> Entry | None:
        """The place of a job; None when nothing of it is to come."""
        known = self._known(shard, job)
        return known if known is not None and known.is_live else None

    def remove(self, shard: int, namespace: str, job_id: str) -> Entry | None:
        """Takes a job away, and gives its place; it does not fire any more."""
        key = (shard, namespace, job_id)
        self._at_rest.pop(key, None)
        entry = self._by_job.pop(key, None)
        if entry is not None:
            entry.is_live = False
        return entry

    def forget_ended(self, shard: int) -> None:
        """Takes away what is left of deleted jobs of a shard."""
        for entry in self._ended.pop(shard, {}).values():
            entry.is_live = False

    def next_due_us(self) -> int | None:
        """The earliest moment at which something may be due."""
        return self._moments[0] if self._moments else None

    def due_before(self, moment_us: int, *, limit: int) -> list[tuple[int, Entry]]:
        """Some entries that should have come up before a moment, with when. Looks at no more than `limit` places."""
        found: list[tuple[int, Entry]] = []
        places = [0]
        for index in places:  # Children of a place in the heap are never earlier than it.
            if index < len(self._moments) and self._moments[index] < moment_us and len(places) <= 2 * limit:
                at_us = self._moments[index]
                entries = self._entries[at_us][: limit - len(found)]
                found += [(at_us, entry) for entry in entries if entry.is_live]
                places += (2 * index + 1, 2 * index + 2)
        return found

    def pop_due(self, now_us: int) -> Iterator[Entry]:
        """Takes what is due, the earliest first. Each must be put back by `advance`, or is gone."""
        while self._moments and self._moments[0] <= now_us:
            entries = self._entries.pop(heapq.heappop(self._moments))
            if len(entries) > 1:
                entries.sort(key=_rank)
            yield from (entry for entry in entries if entry.is_live)

    def advance(self, entry: Entry, *, after_us: int, not_before_us: int = 0) -> None:
        """Puts a popped job back, at its first occurrence after a moment; it comes up at `not_before_us` at the
        earliest. With a version that makes up for missed runs by other rules, it is not behind any more.
        """
        if not entry.is_live:
            return
        rules = entry.job.missed
        entry.passed_us = after_us
        if entry.go_on(after_us):
            if entry.is_behind and entry.job.missed != rules:
                entry.is_behind, not_before_us = False, 0
            self._place(entry, max(entry.due_us, not_before_us))
            return
        entry.is_live = False
        key = (entry.shard, entry.newest.namespace, entry.newest.id)
        if self._by_job.get(key) is entry:
            self._at_rest[key] = self._by_job.pop(key)
        else:
            self._ended.get(entry.shard, {}).pop(entry.newest.uid, None)

    def put_back(self, entry: Entry) -> None:
        """Returns a popped job to where it was; it stays due."""
        if entry.is_live:
            self._place(entry, entry.due_us)

    def __len__(self) -> int:
        return len(self._by_job)

    def _known(self, shard: int, job: FiringJob) -> Entry | None:
        key = (shard, job.namespace, job.id)
        known = self._by_job.get(key) or self._at_rest.get(key)
        return known if known is not None and known.newest.uid == job.uid else None

    def _replace(self, known: Entry, job: FiringJob, after_us: int) -> None:
        """Gives the newest version other occurrences, from where it is."""
        last = known.reigns[-1]
        if known.is_live:
            after_us = min(after_us, known.due_us - 1)
        position = moment_of(known.passed_us if known.is_behind else max(after_us, known.passed_us))
        fresh = Reign(job=job, after=max(position, last.after), passed=last.passed)
        start = position if len(known.reigns) == 1 else moment_of(known.due_us - 1)
        entry = Entry(known.shard, (*known.reigns[:-1], fresh), passed_us=known.passed_us)
        entry.is_behind = known.is_behind
        self._settle(entry, job, start)

    def _succeed(self, known: Entry, job: FiringJob, since: datetime) -> None:
        """Lets a version follow that is in force since a moment."""
        position = moment_of(known.passed_us)
        reigns = succeed(known.reigns, job, since=since, position=position)
        ends = reigns[-2].until
        assert ends is not None
        if known.is_live and moment_of(known.due_us) <= ends:
            known.reigns = reigns
            return
        entry = Entry(known.shard, reigns[-1:], passed_us=microseconds(reigns[-1].after))
        entry.is_behind = known.is_behind
        self._settle(entry, job, reigns[-1].after)

    def _settle(self, entry: Entry, job: FiringJob, after: datetime) -> None:
        """Places an entry instead of the one that was there."""
        key = (entry.shard, job.namespace, job.id)
        self.remove(*key)
        if not entry.go_on(microseconds(after)):
            entry.is_behind = False
            self._at_rest[key] = entry
            return
        entry.is_live = True
        self._by_job[key] = entry
        self._place(entry, entry.due_us)

    def _place(self, entry: Entry, at_us: int) -> None:
        bucket = self._entries.get(at_us)
        if bucket is None:
            self._entries[at_us] = [entry]
            heapq.heappush(self._moments, at_us)
            if self._moments[0] == at_us:
                self.on_earlier()
        else:
            bucket.append(entry)


def _rank(entry: Entry) -> int:
    return -entry.job.priority
