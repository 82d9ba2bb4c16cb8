"""What is due next, over all jobs that a replica fires."""

import heapq
from collections.abc import Iterator

from services.scheduler.domain.identity import microseconds, moment_of
from services.scheduler.domain.occurrence import FiringJob
from services.scheduler.domain.schedule.job_schedule import JobSchedule


class Entry:
    """A job's place on the timeline: its next occurrence and the last one that it passed, in Unix microseconds.

    `is_behind` while missed runs are being made up for, one after the other.
    """

    __slots__ = ("due_us", "is_behind", "is_live", "job", "passed_us", "schedule", "shard")

    def __init__(self, shard: int, job: FiringJob, schedule: JobSchedule, due_us: int) -> None:
        self.shard = shard
        self.job = job
        self.schedule = schedule
        self.due_us = due_us
        self.passed_us = 0
        self.is_live = True
        self.is_behind = False


class Timeline:
    """The next occurrence of every job, the earliest first.

    Jobs that are due at the same moment share one place in the heap, so a thousand jobs at :00 cost one pop; of those
    the ones of higher priority come first.
    """

    def __init__(self) -> None:
        self._moments: list[int] = []
        self._entries: dict[int, list[Entry]] = {}
        self._by_job: dict[tuple[int, str, str], Entry] = {}

    def put(self, shard: int, job: FiringJob, *, after_us: int) -> None:
        """Places a job at its first occurrence after a moment, instead of where it was.

        A new version of a job never goes back to an occurrence that the old one has passed, and goes on making up for
        missed runs where the old one was.
        """
        known = self._known(shard, job)
        passed_us = known.passed_us if known is not None else 0
        is_behind = known is not None and known.is_behind
        self.remove(shard, job.namespace, job.id)
        if not job.is_enabled or job.schedule is None:
            return
        start = max(moment_of(passed_us if is_behind else max(after_us, passed_us)), job.effective_at)
        following = job.schedule.next_after(start)
        if following is not None:
            entry = Entry(shard, job, job.schedule, microseconds(following))
            entry.passed_us = passed_us
            entry.is_behind = is_behind
            self._by_job[shard, job.namespace, job.id] = entry
            self._place(entry, entry.due_us)

    def remove(self, shard: int, namespace: str, job_id: str) -> None:
        """Takes a job away; it does not fire any more."""
        entry = self._by_job.pop((shard, namespace, job_id), None)
        if entry is not None:
            entry.is_live = False

    def is_behind(self, shard: int, job: FiringJob) -> bool:
        """Whether missed runs of a job are being made up for."""
        known = self._known(shard, job)
        return known is not None and known.is_behind

    def next_due_us(self) -> int | None:
        """The earliest moment at which something may be due."""
        return self._moments[0] if self._moments else None

    def pop_due(self, now_us: int) -> Iterator[Entry]:
        """Takes what is due, the earliest first. Each must be put back by `advance`, or is gone."""
        while self._moments and self._moments[0] <= now_us:
            entries = self._entries.pop(heapq.heappop(self._moments))
            if len(entries) > 1:
                entries.sort(key=_rank)
            yield from (entry for entry in entries if entry.is_live)

    def advance(self, entry: Entry, *, after_us: int, not_before_us: int = 0) -> None:
        """Puts a popped job back, at its first occurrence after a moment; it comes up at `not_before_us` at the
        earliest.
        """
        if not entry.is_live:
            return
        entry.passed_us = after_us
        following = entry.schedule.next_after(moment_of(after_us))
        if following is None:
            self.remove(entry.shard, entry.job.namespace, entry.job.id)
            return
        entry.due_us = microseconds(following)
        self._place(entry, max(entry.due_us, not_before_us))

    def put_back(self, entry: Entry) -> None:
        """Returns a popped job to where it was; it stays due."""
        if entry.is_live:
            self._place(entry, entry.due_us)

    def __len__(self) -> int:
        return len(self._by_job)

    def _known(self, shard: int, job: FiringJob) -> Entry | None:
        known = self._by_job.get((shard, job.namespace, job.id))
        return known if known is not None and known.job.uid == job.uid else None

    def _place(self, entry: Entry, at_us: int) -> None:
        bucket = self._entries.get(at_us)
        if bucket is None:
            self._entries[at_us] = [entry]
            heapq.heappush(self._moments, at_us)
        else:
            bucket.append(entry)


def _rank(entry: Entry) -> int:
    return -entry.job.priority
