"""The gate before the outbox: overlap policy, policies, quotas, and what waits for its turn."""

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from chronos.history.v1 import execution_pb2

from libs.clock import Clock
from services.scheduler import metrics
from services.scheduler.domain.identity import microseconds
from services.scheduler.domain.occurrence import Cause, Concurrency, Run
from services.scheduler.domain.quota import Answer, Verdict
from services.scheduler.firing.gates import AcceptedRuns, Followers, PolicyGate, QuotaGate
from services.scheduler.firing.notes import Notes
from services.scheduler.firing.outbox import Outbox
from services.scheduler.firing.owned import OwnedShard, OwnedShards
from services.scheduler.firing.settler import Settler
from services.scheduler.firing.slots import Slot, Slots
from services.scheduler.ports.ledger import Reason, Status

Execution = execution_pb2.Execution
CHECK_INTERVAL = timedelta(seconds=1)
PATIENCE = timedelta(minutes=1)
# What policies said of a run that had to wait for a quota longer than that is asked again: a freeze may have begun.
FRESH = timedelta(seconds=1)
# For so long after its begin a late run makes those that are on time wait, instead of letting them be skipped.
CATCHING_UP_US = 10_000_000
DELETED = "the job was deleted before the run's turn came"
DISABLED = "the job was disabled before the run's turn came"


@dataclass(frozen=True, slots=True)
class Waiter:
    """A run that waits for a quota, and since when (monotonic seconds)."""

    run: Run
    since: float


class Admission:
    """Decides what becomes of each run that is due: it goes on, it waits, or the ledger says why not."""

    def __init__(
        self,
        *,
        owned: OwnedShards,
        outbox: Outbox,
        notes: Notes,
        settler: Settler,
        policies: PolicyGate,
        quotas: QuotaGate,
        followers: Followers,
        accepted: AcceptedRuns,
        clock: Clock,
    ) -> None:
        self._owned = owned
        self._outbox = outbox
        self._notes = notes
        self._settler = settler
        self._policies = policies
        self._quotas = quotas
        self._followers = followers
        self._accepted = accepted
        self._clock = clock
        self._slots = Slots()
        self._began_us: dict[str, int] = {}
        self._waiters: dict[str, deque[Waiter]] = {}
        self._granted: dict[str, str] = {}
        self._has_waiters = asyncio.Event()

    def submit(self, runs: Iterable[Run]) -> None:
        """Takes runs that are due, in order."""
        self._outbox.submit([run for run in runs if self._admit(run)])

    def adopt(self, shard: OwnedShard, running: Sequence[Run], waiting: Sequence[Run]) -> None:
        """Takes over what an earlier owner left: runs that were handed out or accepted, and runs that waited.

        A run that counts as under way already, though no dispatcher was known to have it, is not counted twice.
        """
        for run in running:
            if self._slots.is_running(run):
                continue
            self._slots.begin(run)
            self._began_us[run.execution_id] = run.scheduled_us
            self._quotas.adopt(run.job.namespace)
            if run.cause is not Cause.REPLAY:
                self._followers.begin(shard, run)
        self._accepted.adopt(run for run in running if run.complete_by_us is not None)
        self._outbox.adopt([run for run in running if run.complete_by_us is None])
        for run in waiting:
            if not self._is_called_off(shard, run):
                self.submit([run])

    def resume(self, shard: OwnedShard, run: Run) -> None:
        """A run that the ledger has already, begun by an earlier owner: it is not fired again."""
        if run.cause is not Cause.REPLAY:
            self._followers.resume(shard, run)

    def ended(self, shard: OwnedShard, run: Run, status: Status) -> None:
        """A run that was under way has ended: the next of its job may have its turn."""
        self._quotas.release(run.job.namespace)
        if run.cause is not Cause.REPLAY:
            self._followers.end(shard, run, status, Execution.REASON_UNSPECIFIED)
        self._pass_on(run)

    def cancel(self, shard: OwnedShard, execution_id: str, *, reason: str, code: Reason, job_uid: str = "") -> bool:
        """Stops a run that waits or is under way; False when it is neither. `job_uid` spares a search."""
        for run in self._slots.take_waiting(job_uid or self._slots.job_of(execution_id), execution_id):
            self._explain(shard, run, Execution.CANCELLED, code, reason)
            return True
        if (entering := self._take_entering(execution_id)) is not None:
            self._explain(shard, entering, Execution.CANCELLED, code, reason)
            self._pass_on(entering)
            return True
        if self._accepted.cancel(execution_id, reason=reason, code=code):
            return True
        return self._outbox.cancel(execution_id, reason=reason, code=code)

    def withdraw(self, shard: OwnedShard, job_uid: str, code: Reason, reason: str, *, also_asked_for: bool) -> None:
        """Explains the runs of a job that wait for their turn, for policies or for a quota, and will not begin.

        Those that somebody asked for stay, unless `also_asked_for`.
        """
        for run in self._slots.take_waiting(job_uid):
            if run.cause is Cause.SCHEDULE or also_asked_for:
                self._explain(shard, run, Execution.SKIPPED, code, reason)
            else:
                self._slots.wait(run)
        waiting = [waiter.run for waiters in self._waiters.values() for waiter in waiters]
        for run in [*waiting, *self._policies.waiting_of(job_uid)]:
            if run.job.uid == job_uid and (run.cause is Cause.SCHEDULE or also_asked_for):
                self._take_entering(run.execution_id)
                self._explain(shard, run, Execution.SKIPPED, code, reason)
                self._pass_on(run)

    def forget(self, shard: int) -> None:
        """Drops everything of a shard that is not owned any more."""
        self._accepted.forget(shard)
        granted = [run for run in self._slots.forget(shard) if self._has_quota(run)]
        self._policies.forget(shard)
        for run in granted:
            self._began_us.pop(run.execution_id, None)
            self._granted.pop(run.execution_id, None)
        for namespace, waiters in self._waiters.items():
            self._waiters[namespace] = deque(waiter for waiter in waiters if waiter.run.shard != shard)
        for run in granted:
            self._quotas.release(run.job.namespace)

    def quota_changed(self, namespace: str) -> None:
        """Runs of the namespace that wait may go on."""
        waiters = self._waiters.get(namespace)
        while waiters:
            answer = self._quotas.ask(namespace)
            if answer.verdict is Verdict.WAIT:
                return
            waiter = waiters.popleft()
            if answer.verdict is Verdict.REFUSED:
                self._refuse(waiter.run, Execution.QUOTA, answer.reason)
            elif self._clock.monotonic() - waiter.since < FRESH.total_seconds():
                self._go_on(waiter.run)
            else:
                self._ask_again(waiter.run)
        self._waiters.pop(namespace, None)

    def judged(self, run: Run, answer: Answer) -> None:
        """Policies have said whether a run may begin that waited for that."""
        if answer.verdict is Verdict.REFUSED:
            self._give_back(run)
            self._refuse(run, Execution.POLICY, answer.reason)
        elif run.execution_id in self._granted:
            del self._granted[run.execution_id]
            self._go_on(run)
        else:
            verdict = self._ask_quota(run)
            if verdict is Verdict.GRANTED:
                self._outbox.submit([run])
            elif verdict is Verdict.REFUSED:
                self._pass_on(run)

    def load_of(self, namespace: str, job_uid: str) -> tuple[int, int]:
        """How many runs of a job, and of its namespace, are under way; those that wait for something are not."""
        slot = self._slots.find(job_uid)
        of_job = sum(identity in self._began_us for identity in slot.running) if slot is not None else 0
        unjudged = sum(other == namespace for other in self._granted.values())
        return of_job, self._quotas.under_way(namespace) - unjudged

    async def run(self) -> None:
        """Ends the patience of runs that wait for a quota; until cancelled."""
        while True:
            await self._has_waiters.wait()
            await self._clock.sleep(CHECK_INTERVAL)
            began = self._clock.monotonic() - PATIENCE.total_seconds()
            if not any(self._waiters.values()):
                self._has_waiters.clear()
            for namespace, waiters in self._waiters.items():
                while waiters and waiters[0].since <= began:
                    self._refuse(
                        waiters.popleft().run,
                        Execution.QUOTA,
                        f"the namespace {namespace} had as many runs under way as its quota allows for "
                        f"{PATIENCE.total_seconds():g} s; raise max_concurrent_runs",
                    )

    def _admit(self, run: Run) -> bool:
        """Whether the run goes on now. Otherwise it waits, or was explained."""
        if self._slots.is_free(run):
            self._slots.begin(run)
            verdict = self._enter(run)
            if verdict is Verdict.REFUSED:
                self._pass_on(run)
            return verdict is Verdict.GRANTED
        slot, shard = self._slots.find(run.job.uid), self._owned.get(run.shard, run.epoch)
        assert slot is not None
        if shard is None:
            return False
        match run.concurrency:
            case Concurrency.FORBID if run.is_late or self._is_catching_up(slot):
                self._slots.wait(run)
            case Concurrency.FORBID:
                self._explain(shard, run, Execution.SKIPPED, Execution.OVERLAP, self._overlap(slot))
            case Concurrency.QUEUE:
                self._queue(shard, slot, run)
            case _:
                self._replace(shard, slot, run)
        return False

    def _queue(self, shard: OwnedShard, slot: Slot, run: Run) -> None:
        most = run.job.max_queued_runs
        if len(slot.waiting) >= most and not run.is_patient:
            reason = f"{most} runs of the job were waiting for their turn already; raise max_queued_runs"
            self._explain(shard, run, Execution.SKIPPED, Execution.QUEUE_FULL, reason)
            return
        self._slots.wait(run)
        if run.cause is Cause.SCHEDULE:
            self._followers.begin(shard, run)  # once it is noted, the watermark may pass it
            self._notes.add_run(
                shard, run, status=Execution.PENDING, code=Execution.REASON_UNSPECIFIED, reason="waits for its turn"
            )

    def _replace(self, shard: OwnedShard, slot: Slot, run: Run) -> None:
        newest = max((*slot.running.values(), *slot.waiting), key=lambda other: other.scheduled_us)
        if newest.scheduled_us > run.scheduled_us:  # this one was held up
            reason = f"run {newest.execution_id}, due later, was there before it"
            self._explain(shard, run, Execution.SKIPPED, Execution.REPLACED, reason)
            return
        reason = f"run {run.execution_id} took its place"
        for older in self._slots.take_waiting(run.job.uid):
            self._explain(shard, older, Execution.SKIPPED, Execution.REPLACED, reason)
        self._slots.wait(run)
        for identity in list(slot.running):
            self.cancel(shard, identity, reason=reason, code=Execution.REPLACED, job_uid=run.job.uid)

    def _enter(self, run: Run) -> Verdict:
        """Asks policies, and then for the quota, of a run that has its slot. One that is refused was explained."""
        answer = self._policies.ask(run)
        if answer.verdict is Verdict.REFUSED:
            self._explain_refusal(run, Execution.POLICY, answer.reason)
        return self._ask_quota(run) if answer.verdict is Verdict.GRANTED else answer.verdict

    def _ask_quota(self, run: Run) -> Verdict:
        answer = self._quotas.ask(run.job.namespace)
        if answer.verdict is Verdict.GRANTED:
            self._begin(run)
        elif answer.verdict is Verdict.WAIT:
            waiter = Waiter(run, self._clock.monotonic())
            self._waiters.setdefault(run.job.namespace, deque()).append(waiter)
            self._has_waiters.set()
        else:
            self._explain_refusal(run, Execution.QUOTA, answer.reason)
        return answer.verdict

    def _ask_again(self, run: Run) -> None:
        """Asks policies once more about a run that has its quota."""
        self._granted[run.execution_id] = run.job.namespace
        answer = self._policies.ask(run)
        if answer.verdict is not Verdict.WAIT:
            self.judged(run, answer)

    def _go_on(self, run: Run) -> None:
        self._begin(run)
        self._outbox.submit([run])

    def _give_back(self, run: Run) -> None:
        """Returns the quota of a run that will not begin, if it has it."""
        if self._granted.pop(run.execution_id, None) is not None:
            self._quotas.release(run.job.namespace)

    def _begin(self, run: Run) -> None:
        self._began_us[run.execution_id] = microseconds(self._clock.now())
        shard = self._owned.get(run.shard, run.epoch)
        if shard is not None and run.cause is not Cause.REPLAY:
            self._followers.begin(shard, run)

    def _refuse(self, run: Run, code: Reason, reason: str) -> None:
        self._explain_refusal(run, code, reason)
        self._pass_on(run)

    def _explain_refusal(self, run: Run, code: Reason, reason: str) -> None:
        shard = self._owned.get(run.shard, run.epoch)
        if shard is not None:
            self._explain(shard, run, Execution.SKIPPED, code, reason)

    def _pass_on(self, run: Run) -> None:
        began_us = self._began_us.pop(run.execution_id, None)
        following = self._slots.end(run)
        while following is not None:
            if not self._is_given_up(following, run, began_us):
                verdict = self._enter(following)
                if verdict is Verdict.GRANTED:
                    self._outbox.submit([following])
                if verdict is not Verdict.REFUSED:
                    return
            following = self._slots.end(following)

    def _is_given_up(self, following: Run, run: Run, began_us: int | None) -> bool:
        """Explains a run whose turn it is after another one, if it is not to begin any more."""
        shard = self._owned.get(following.shard, following.epoch)
        if shard is not None and self._is_called_off(shard, following):
            return True
        if began_us is None or not self._would_overlap(following, run, began_us):
            return False
        if shard is not None:
            reason = f"run {run.execution_id} would have been under way at its time; this one was noticed late"
            self._explain(shard, following, Execution.SKIPPED, Execution.OVERLAP, reason)
        return True

    def _is_called_off(self, shard: OwnedShard, run: Run) -> bool:
        """Explains a run that comes to its turn only now that its job is disabled or gone; see `withdraw`."""
        job = shard.jobs.get(run.job.key)
        is_scheduled = run.cause is Cause.SCHEDULE
        if job is not None and job.uid == run.job.uid:
            if job.is_enabled or not is_scheduled:
                return False
            self._explain(shard, run, Execution.SKIPPED, Execution.PAUSED, DISABLED)
            return True
        # The watch may not have told of the job of a run that was asked for.
        is_gone = (*run.job.key, run.job.uid) in shard.buried or (is_scheduled and run.job.key not in shard.broken)
        if is_gone:
            self._explain(shard, run, Execution.SKIPPED, Execution.DELETED, DELETED)
        return is_gone

    def _would_overlap(self, late: Run, run: Run, began_us: int) -> bool:
        """Whether a run that waited because it, or the one before, was late would have met it on time, too."""
        if late.concurrency is not Concurrency.FORBID:
            return False
        took_us = microseconds(self._clock.now()) - began_us
        return 0 <= late.scheduled_us - run.scheduled_us < took_us

    def _is_catching_up(self, slot: Slot) -> bool:
        """Whether late runs of the job are on their way, so that one that is on time meets them by accident."""
        if slot.waiting:
            return slot.waiting[-1].concurrency is Concurrency.FORBID
        now_us = microseconds(self._clock.now())
        return any(
            run.is_late and now_us - self._began_us.get(run.execution_id, 0) < CATCHING_UP_US
            for run in slot.running.values()
        )

    def _explain(self, shard: OwnedShard, run: Run, status: Status, code: Reason, reason: str) -> None:
        metrics.NOT_RUN.labels(reason=Execution.Reason.Name(code).lower()).inc()

        def settle() -> None:
            self._settler.settle_cancel(shard, run.execution_id)
            if run.cause is not Cause.SCHEDULE:
                self._settler.settle(shard, run.execution_id)
            if run.cause is not Cause.REPLAY:
                self._followers.end(shard, run, status, code)

        self._notes.add_run(shard, run, status=status, code=code, reason=reason, on_recorded=settle)

    def _take_entering(self, execution_id: str) -> Run | None:
        """Takes away a run that waits for policies or for a quota."""
        if (run := self._policies.take(execution_id)) is not None:
            self._give_back(run)
            return run
        for waiters in self._waiters.values():
            for waiter in waiters:
                if waiter.run.execution_id == execution_id:
                    waiters.remove(waiter)
                    return waiter.run
        return None

    def _has_quota(self, run: Run) -> bool:
        """Whether a run that has its slot counts against its quota."""
        if run.execution_id in self._granted:
            return True
        waiters = self._waiters.get(run.job.namespace, ())
        return not self._policies.is_waiting(run.execution_id) and not any(waiter.run is run for waiter in waiters)

    def _overlap(self, slot: Slot) -> str:
        running = next(iter(slot.running), "")
        state = "waiting for policies to judge it" if self._policies.is_waiting(running) else "under way"
        return f"run {running} of the job was {state}; allow overlaps, or let runs queue, with `concurrency`"
