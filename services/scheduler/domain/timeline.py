"""What is due next, over all jobs that a replica fires."""

import heapq
from collections.abc import Iterator

from services.scheduler.domain.identity import microseconds, moment_of
from services.scheduler.domain.occurrence import FiringJob


class Entry:
    """A job's place on the timeline: its next occurrence and the last one that it passed, in Unix microseconds."""

    __slots__ = ("due_us", "is_live", "job", "passed_us", "shard")

    def __init__(self, shard: int, job: FiringJob, due_us: int) -> None:
        self.shard = shard
        self.job = job
        self.due_us = due_us
        self.passed_us = 0
        self.is_live = True


class Timeline:
    """The next occurrence of every job, the earliest first.

    Jobs that are due at the same moment share one place in the heap, so a thousand jobs at :00 cost one pop.
    """

    def __init__(self) -> None:
        self._moments: list[int] = []
        self._entries: dict[int, list[Entry]] = {}
        self._by_job: dict[tuple[int, str, str], Entry] = {}

    def put(self, shard: int, job: FiringJob, *, after_us: int) -> None:
        """Places a job at its first occurrence after a moment, instead of where it was.

        A new version of a job never goes back to an occurrence that the old one has passed.
        """
        passed_us = self._passed_us(shard, job)
        self.remove(shard, job.namespace, job.id)
        if not job.is_enabled:
            return
        start = max(moment_of(max(after_us, passed_us)), job.effective_at)
        following = job.schedule.next_after(start)
        if following is not None:
            entry = Entry(shard, job, microseconds(following))
            entry.passed_us = passed_us
            self._by_job[shard, job.namespace, job.id] = entry
            self._place(entry)

    def remove(self, shard: int, namespace: str, job_id: str) -> None:
        """Takes a job away; it does not fire any more."""
        entry = self._by_job.pop((shard, namespace, job_id), None)
        if entry is not None:
            entry.is_live = False

    def next_due_us(self) -> int | None:
        """The earliest moment at which something may be due."""
        return self._moments[0] if self._moments else None

    def pop_due(self, now_us: int) -> Iterator[Entry]:
        """Takes what is due, the earliest first. Each must be put back by `advance`, or is gone."""
        while self._moments and self._moments[0] <= now_us:
            entries = self._entries.pop(heapq.heappop(self._moments))
            yield from (entry for entry in entries if entry.is_live)

    def advance(self, entry: Entry, *, after_us: int) -> None:
        """Puts a popped job back, at its first occurrence after a moment."""
        if not entry.is_live:
            return
        entry.passed_us = after_us
        following = entry.job.schedule.next_after(moment_of(after_us))
        if following is None:
            self.remove(entry.shard, entry.job.namespace, entry.job.id)
            return
        entry.due_us = microseconds(following)
        self._place(entry)

    def put_back(self, entry: Entry) -> None:
        """Returns a popped job to where it was; it stays due."""
        if entry.is_live:
            self._place(entry)

    def __len__(self) -> int:
        return len(self._by_job)

    def _passed_us(self, shard: int, job: FiringJob) -> int:
        known = self._by_job.get((shard, job.namespace, job.id))
        return known.passed_us if known is not None and known.job.uid == job.uid else 0

    def _place(self, entry: Entry) -> None:
        bucket = self._entries.get(entry.due_us)
        if bucket is None:
            self._entries[entry.due_us] = [entry]
            heapq.heappush(self._moments, entry.due_us)
        else:
            bucket.append(entry)
