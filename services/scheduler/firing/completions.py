"""Runs that their targets have accepted: they end when the target tells how, when its time is up, when called off."""

import asyncio
import heapq
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Protocol

from chronos.history.v1 import execution_pb2
from chronos.scheduler.v1 import stored_job_pb2

from libs.clock import Clock
from libs.faults import Fault
from libs.log import get_logger
from services.scheduler.convert.completions import span_of
from services.scheduler.domain.identity import microseconds, moment_of
from services.scheduler.domain.occurrence import Run
from services.scheduler.firing.notes import Notes, describe_run
from services.scheduler.firing.outbox import Outbox
from services.scheduler.firing.owned import OwnedShard, OwnedShards
from services.scheduler.firing.settler import Settler
from services.scheduler.ports.ledger import Reason, Status
from services.scheduler.ports.orders import CompletionStore

CHECK_INTERVAL = timedelta(milliseconds=250)
WRITES_AT_ONCE = 64
MOST_MET = 10_000


class Ends(Protocol):
    """Who is told of the ends of runs."""

    def ended(self, run: Run, status: Status) -> None:
        """The ledger has the run's end."""


class Completions:
    """Every accepted run from its acceptance to its end.

    That the time is up, or that a run is called off, is put into etcd like any completion. So only one of them counts,
    and what the target was told to be taken is taken.
    """

    def __init__(
        self,
        *,
        owned: OwnedShards,
        outbox: Outbox,
        ends: Ends,
        notes: Notes,
        settler: Settler,
        store: CompletionStore,
        clock: Clock,
    ) -> None:
        self._owned = owned
        self._outbox = outbox
        self._ends = ends
        self._notes = notes
        self._settler = settler
        self._store = store
        self._clock = clock
        self._runs: dict[str, Run] = {}
        self._deadlines: list[tuple[int, str]] = []
        self._has_runs = asyncio.Event()
        self._called_off: dict[str, tuple[Run, stored_job_pb2.StoredCompletion]] = {}
        self._has_called_off = asyncio.Event()
        self._log = get_logger()

    @property
    def count(self) -> int:
        """Runs that wait for their targets."""
        return len(self._runs)

    def is_accepted(self, execution_id: str) -> bool:
        """Whether a run waits for its target."""
        return execution_id in self._runs

    def accept(self, run: Run) -> None:
        """The ledger has that the run was accepted just now."""
        until = microseconds(self._clock.now() + span_of(run.job.definition))
        self.adopt([replace(run, complete_by_us=until)])

    def adopt(self, runs: Iterable[Run]) -> None:
        """Takes runs that were accepted some time ago."""
        for run in runs:
            assert run.complete_by_us is not None
            self._runs[run.execution_id] = run
            heapq.heappush(self._deadlines, (run.complete_by_us, run.execution_id))
            self._has_runs.set()

    def take(self, shard: OwnedShard, completion: stored_job_pb2.StoredCompletion) -> None:
        """Records how a run ended, wherever it is: the target may be done before it has answered."""
        identity = completion.execution.id
        if identity in shard.completions:
            return
        shard.completions.add(identity)
        accepted = self._runs.pop(identity, None)
        end = execution_pb2.Execution()
        end.CopyFrom(completion.execution)
        end.is_settled = True

        def recorded() -> None:
            run = accepted or self._runs.pop(end.id, None)
            if run is not None:
                self._ends.ended(run, end.status)
            else:
                self._outbox.cut_short(end.id, end.status, reason=end.reason, code=end.reason_code)
            self._settler.settle_completion(shard, end.id)

        self._notes.add(shard, end, shard.horizon_us + 1, on_recorded=recorded)

    def cancel(self, execution_id: str, *, reason: str, code: Reason) -> bool:
        """Ends a run that is accepted, or may be so any moment, unless its target has told its end; False: it is none.

        Its target hears of that when it tells the end.
        """
        run = self._runs.get(execution_id) or self._outbox.find_handed_out(execution_id)
        if run is None or not (execution_id in self._runs or run.job.is_asynchronous):
            return False
        shard = self._owned.get(run.shard, run.epoch)
        if shard is not None and execution_id not in shard.completions:
            end = _end(run, now=self._clock.now(), reason=reason, code=code, status=execution_pb2.Execution.CANCELLED)
            self._called_off.setdefault(execution_id, (run, end))
            self._has_called_off.set()
        return True

    def forget(self, shard: int) -> None:
        """Drops everything of a shard that is not owned any more."""
        self._runs = {identity: run for identity, run in self._runs.items() if run.shard != shard}

    async def run(self) -> None:
        """Ends what is not completed in time and what is called off; until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch_deadlines())
            group.create_task(self._call_off())

    async def _call_off(self) -> None:
        while True:
            await self._has_called_off.wait()
            self._has_called_off.clear()
            for identity, (run, end) in list(self._called_off.items()):
                if self._owned.get(run.shard, run.epoch) is None or await self._write(run, end):
                    del self._called_off[identity]
            if self._called_off:
                await self._clock.sleep(CHECK_INTERVAL)
                self._has_called_off.set()

    async def _watch_deadlines(self) -> None:
        while True:
            await self._has_runs.wait()
            await self._end(self._take_overdue())
            if not self._runs:
                self._deadlines.clear()
                self._has_runs.clear()
                continue
            self._forget_met()
            await self._clock.sleep(CHECK_INTERVAL)

    def _forget_met(self) -> None:
        """Drops the deadlines of runs that have ended, once they are most of all."""
        if len(self._deadlines) > 2 * len(self._runs) + MOST_MET:
            self._deadlines = [each for each in self._deadlines if each[1] in self._runs]
            heapq.heapify(self._deadlines)

    def _take_overdue(self) -> list[Run]:
        """The runs whose time is up, which are not looked at again before `adopt`."""
        due: list[Run] = []
        now_us = microseconds(self._clock.now())
        while self._deadlines and self._deadlines[0][0] <= now_us:
            run = self._runs.get(heapq.heappop(self._deadlines)[1])
            if run is not None:
                due.append(run)
        return due

    async def _end(self, runs: list[Run]) -> None:
        for start in range(0, len(runs), WRITES_AT_ONCE):
            async with asyncio.TaskGroup() as group:
                for run in runs[start : start + WRITES_AT_ONCE]:
                    group.create_task(self._time_out(run))

    async def _time_out(self, run: Run) -> None:
        """Makes it durable that the time of a run is up, or tries again a little later."""
        if not await self._write(run, _overdue(run, now=self._clock.now())):
            again = microseconds(self._clock.now() + CHECK_INTERVAL)
            heapq.heappush(self._deadlines, (again, run.execution_id))

    async def _write(self, run: Run, end: stored_job_pb2.StoredCompletion) -> bool:
        """Makes an end durable, unless another is; False when that is to be tried again."""
        shard = self._owned.find_trusted(run.shard)
        if shard is None or shard.epoch != run.epoch:
            return False
        try:
            await self._store.add(end)
        except Fault as error:
            self._log.warning("run not yet ended", execution=run.execution_id, error=error.message)
            return False
        return True


def _overdue(run: Run, *, now: datetime) -> stored_job_pb2.StoredCompletion:
    """The end of a run whose target did not tell in time how it ended."""
    assert run.complete_by_us is not None
    reason = f"the target did not complete it by {moment_of(run.complete_by_us).isoformat()}"
    code, status = execution_pb2.Execution.ACCEPTED, execution_pb2.Execution.TIMED_OUT
    overdue = _end(run, now=now, reason=reason, code=code, status=status)
    overdue.execution.error = reason
    return overdue


def _end(run: Run, *, now: datetime, reason: str, code: Reason, status: Status) -> stored_job_pb2.StoredCompletion:
    """An end that the owner of a run decides."""
    end = describe_run(run, now=now, reason=reason, code=code, status=status)
    end.delivery = run.delivery
    return stored_job_pb2.StoredCompletion(execution=end)
