"""Runs that wait until policies have judged them."""

from asyncio import Event
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

from services.scheduler.domain.occurrence import Run


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A run, and since when it waits (monotonic seconds)."""

    run: Run
    since: float


class WaitingRuns:
    """Each job's runs in the order in which they came. A job is asked about by one at a time."""

    def __init__(self) -> None:
        self.has_any = Event()
        """Whether a run waits."""
        self.has_ready = Event()
        """Whether a run waits of a job that nobody asks about."""
        self._all: dict[str, _Waiting] = {}
        self._by_job: dict[str, dict[str, Run]] = {}
        self._ready: dict[str, None] = {}
        self._asked: set[str] = set()

    def __contains__(self, job_uid: str) -> bool:
        """Whether a run of the job waits."""
        return job_uid in self._by_job

    def __len__(self) -> int:
        return len(self._all)

    def is_waiting(self, execution_id: str) -> bool:
        """Whether a run waits."""
        return execution_id in self._all

    def of_job(self, job_uid: str) -> Sequence[Run]:
        """The runs of a job, the first one first."""
        return list(self._by_job.get(job_uid, {}).values())

    def first_of(self, job_uid: str) -> Run | None:
        """The run of a job whose turn it is; None when none waits."""
        return next(iter(self._by_job.get(job_uid, {}).values()), None)

    def add(self, run: Run, now: float) -> None:
        """The run waits from now on, behind those of its job. `now` never falls."""
        uid = run.job.uid
        self._all[run.execution_id] = _Waiting(run, now)
        self._by_job.setdefault(uid, {})[run.execution_id] = run
        self.has_any.set()
        if uid not in self._asked:
            self._ready[uid] = None
            self.has_ready.set()

    def remove(self, execution_id: str) -> Run | None:
        """The run waits no more; None when it did not."""
        waiting = self._all.pop(execution_id, None)
        if waiting is None:
            return None
        uid = waiting.run.job.uid
        of_job = self._by_job[uid]
        del of_job[execution_id]
        if not of_job:
            del self._by_job[uid]
            self._ready.pop(uid, None)
        self._note()
        return waiting.run

    def remove_same(self, run: Run) -> bool:
        """The run waits no more; False when it did not, or has come again since, under another owner of its shard."""
        waiting = self._all.get(run.execution_id)
        return waiting is not None and waiting.run is run and self.remove(run.execution_id) is not None

    def forget(self, shard: int) -> None:
        """Drops the runs of a shard."""
        for run in [waiting.run for waiting in self._all.values() if waiting.run.shard == shard]:
            self.remove(run.execution_id)

    def since(self, moment: float) -> list[Run]:
        """The runs that have waited since a moment or longer, the first one first."""
        found = []
        for waiting in self._all.values():
            if waiting.since > moment:
                break
            found.append(waiting.run)
        return found

    def check_out(self, limit: int) -> list[str]:
        """Some jobs whose runs wait, to be asked about by the caller alone until they are checked in."""
        jobs = list(islice(self._ready, limit))
        for uid in jobs:
            del self._ready[uid]
        self._asked.update(jobs)
        self._note()
        return jobs

    def check_in(self, jobs: Iterable[str]) -> None:
        """Others may ask about what still waits of these jobs."""
        for uid in jobs:
            self._asked.discard(uid)
            if uid in self._by_job:
                self._ready[uid] = None
                self.has_ready.set()

    def _note(self) -> None:
        if not self._ready:
            self.has_ready.clear()
        if not self._all:
            self.has_any.clear()
