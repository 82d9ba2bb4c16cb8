"""What of each job is under way, and what waits for its turn."""

from collections import deque
from dataclasses import dataclass, field

from services.scheduler.domain.occurrence import Concurrency, Run


@dataclass(slots=True)
class Slot:
    """One job: runs under way, in the order in which they began, and runs that wait for all of those to end."""

    running: dict[str, Run] = field(default_factory=dict)
    waiting: deque[Run] = field(default_factory=deque)


class Slots:
    """The overlap policy, in memory. A job that does nothing takes no room."""

    def __init__(self) -> None:
        self._slots: dict[str, Slot] = {}

    def find(self, job_uid: str) -> Slot | None:
        """What is known of a job; None when it does nothing."""
        return self._slots.get(job_uid)

    def job_of(self, execution_id: str) -> str:
        """The uid of the job one of whose runs is under way or waits; empty when there is none. Looks at every job."""
        for uid, slot in self._slots.items():
            if any(run.execution_id == execution_id for run in _runs(slot)):
                return uid
        return ""

    def is_free(self, run: Run) -> bool:
        """Whether the run may begin now, as far as other runs of its job are concerned."""
        slot = self._slots.get(run.job.uid)
        return slot is None or run.concurrency is Concurrency.ALLOW

    def is_running(self, run: Run) -> bool:
        """Whether the run counts as under way."""
        slot = self._slots.get(run.job.uid)
        return slot is not None and run.execution_id in slot.running

    def begin(self, run: Run) -> None:
        """The run is under way."""
        slot = self._slots.get(run.job.uid)
        if slot is None:
            slot = self._slots[run.job.uid] = Slot()
        slot.running[run.execution_id] = run

    def wait(self, run: Run, *, is_first: bool = False) -> None:
        """The run waits until those under way have ended."""
        waiting = self._slots.setdefault(run.job.uid, Slot()).waiting
        (waiting.appendleft if is_first else waiting.append)(run)

    def end(self, run: Run) -> Run | None:
        """The run is under way no more. Gives the one whose turn it is now, which counts as under way from now on."""
        slot = self._slots.get(run.job.uid)
        if slot is None or slot.running.pop(run.execution_id, None) is None or slot.running:
            return None
        if not slot.waiting:
            del self._slots[run.job.uid]
            return None
        following = slot.waiting.popleft()
        slot.running[following.execution_id] = following
        return following

    def take_waiting(self, job_uid: str, execution_id: str = "") -> list[Run]:
        """Takes what waits for a job: one run, or all of them."""
        slot = self._slots.get(job_uid)
        if slot is None:
            return []
        taken = [run for run in slot.waiting if execution_id in ("", run.execution_id)]
        slot.waiting = deque(run for run in slot.waiting if execution_id not in ("", run.execution_id))
        return taken

    def forget(self, shard: int) -> list[Run]:
        """Drops what belongs to a shard that is not owned any more; gives the runs of it that were under way."""
        gone = [uid for uid, slot in self._slots.items() if any(run.shard == shard for run in _runs(slot))]
        return [run for uid in gone for run in self._slots.pop(uid).running.values()]


def _runs(slot: Slot) -> list[Run]:
    return [*slot.running.values(), *slot.waiting]
