"""Runs that wait for a dispatcher."""

from collections.abc import Callable, Iterator

from libs.fair_queue import FairQueue
from services.scheduler.domain.occurrence import Run


class Outgoing:
    """Runs that any dispatcher may have, and apart from them those whose target has limits, by what they share.

    Namespaces take turns, and within one the runs of higher priority go first.
    """

    def __init__(self) -> None:
        self._free: FairQueue[Run] = FairQueue()
        self._limited: dict[str, FairQueue[Run]] = {}

    def __len__(self) -> int:
        return len(self._free) + sum(map(len, self._limited.values()))

    def __iter__(self) -> Iterator[Run]:
        """Every run, in no order; nothing may be pushed or popped meanwhile."""
        yield from self._free
        for queue in self._limited.values():
            yield from queue

    @property
    def has_free(self) -> bool:
        """Whether a run waits that any dispatcher may have."""
        return bool(self._free)

    @property
    def limit_keys(self) -> list[str]:
        """What the runs with limits that wait share."""
        return list(self._limited)

    def push(self, run: Run) -> None:
        """Puts a run behind those of its namespace and priority."""
        self._queue_of(run).push(run.job.namespace, run.job.priority, run)

    def push_front(self, run: Run) -> None:
        """Puts a run before those of its namespace and priority."""
        self._queue_of(run).push_front(run.job.namespace, run.job.priority, run)

    def pop(self, limit_key: str = "") -> Run | None:
        """The next run of those that share limits, or of those without any; None when there is none."""
        queue = self._limited.get(limit_key) if limit_key else self._free
        if not queue:
            return None
        run = queue.pop()
        if limit_key and not queue:
            del self._limited[limit_key]
        return run

    def take_if(self, predicate: Callable[[Run], bool]) -> list[Run]:
        """Takes out what fits; the rest keeps its order. Looks at every run."""
        taken = self._free.take_if(predicate)
        for key, queue in list(self._limited.items()):
            taken += queue.take_if(predicate)
            if not queue:
                del self._limited[key]
        return taken

    def _queue_of(self, run: Run) -> FairQueue[Run]:
        if not run.job.limit_key:
            return self._free
        return self._limited.setdefault(run.job.limit_key, FairQueue())
