"""Asks policies before each run, without holding up those that none applies to."""

from asyncio import TaskGroup
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from itertools import takewhile
from typing import Protocol

from chronos.history.v1 import policy_decision_pb2
from chronos.policy.v1 import decision_pb2, decision_service_pb2, policy_pb2

from libs.clock import Clock
from libs.faults import Fault
from libs.log import get_logger
from services.scheduler.domain.occurrence import Run
from services.scheduler.domain.quota import GRANTED, Answer, Verdict
from services.scheduler.policies.facts import LOAD
from services.scheduler.policies.outcomes import ALLOWED, outcome_of
from services.scheduler.policies.run_questions import RunAsked
from services.scheduler.policies.standing import Standing, StandingDecisions, denial_of
from services.scheduler.policies.turns import Turns
from services.scheduler.policies.waiting_runs import WaitingRuns
from services.scheduler.ports.namespaces import NamespaceBook
from services.scheduler.ports.policies import Accounts, Policies, PolicyBook

PolicyDecision = policy_decision_pb2.PolicyDecision
Question = decision_service_pb2.Question
RUN = policy_pb2.Policy.RUN
WAITS = Answer(Verdict.WAIT)
# How long a run waits for an answer before the namespace's `policy_failure` decides, and how often that is looked at.
PATIENCE = timedelta(seconds=10)
# So much where no policy that applies can refuse it.
HARMLESS_PATIENCE = timedelta(seconds=1)
CHECK_INTERVAL = timedelta(milliseconds=250)
PAUSE_AFTER_FAILURE = timedelta(milliseconds=500)
# Calls under way at a time, so that what is slow in one (a name that is looked up, say) does not hold up all others.
CALLS = 4
# Jobs in a call, and what their questions may weigh together: servers take messages of 8 MiB.
BATCH = 250
BATCH_BYTES = 4 * 1024 * 1024
UNTOLD = "there was no answer in time"
Verdicts = Callable[[Run, Answer], None]


class RunFacts(Protocol):
    """Who knows what rules look at."""

    async def of(self, asked: Sequence[RunAsked]) -> Sequence[Question]:
        """One question for each run, in their order. Raises Unavailable."""


@dataclass(frozen=True, slots=True)
class _Group:
    """Runs of a job that one answer is for, at least one, and what its policies look at."""

    runs: Sequence[Run]
    uses: Collection[str]


class RunGate:
    """See gates.PolicyGate: answers at once, or lets the run wait and asks in the background.

    Every run is judged as it is about to begin, whatever asked for it: a freeze holds for promised runs, too. A run to
    which no policy applies goes straight on; so does, or does not, one of a job about which a decision stands.

    Each denial is accounted for, and each warning (and permission, where that is asked for), but for one: what lets
    runs go on until the job or a policy changes is accounted for when it is said, not again at each run of the job.
    Where nobody could be asked, each run is.
    """

    def __init__(
        self,
        *,
        book: PolicyBook,
        policies: Policies,
        facts: RunFacts,
        namespaces: NamespaceBook,
        accounts: Accounts,
        clock: Clock,
    ) -> None:
        self._book = book
        self._policies = policies
        self._facts = facts
        self._namespaces = namespaces
        self._accounts = accounts
        self._clock = clock
        self._standing = StandingDecisions()
        self._waiting = WaitingRuns()
        self._on_verdict: Verdicts = _nobody
        self._most = BATCH
        self._problem = ""
        self._log = get_logger()

    @property
    def waiting(self) -> int:
        """How many runs wait for their verdicts."""
        return len(self._waiting)

    def on_verdict(self, callback: Verdicts) -> None:
        """`callback` is called with each run that had to wait, and what policies say of it: to begin it, or not."""
        self._on_verdict = callback

    def ask(self, run: Run) -> Answer:
        """See gates.PolicyGate."""
        job = run.job
        if job.uid not in self._waiting:
            uses = self._book.uses(RUN, job.namespace, job.tags)
            if uses is None:
                return GRANTED
            standing = self._standing.find(run, self._book.revision)
            if standing is not None:
                return self._repeat(run, standing)
        self._waiting.add(run, self._clock.monotonic())
        return WAITS

    def is_waiting(self, execution_id: str) -> bool:
        """See gates.PolicyGate."""
        return self._waiting.is_waiting(execution_id)

    def waiting_of(self, job_uid: str) -> Sequence[Run]:
        """See gates.PolicyGate."""
        return self._waiting.of_job(job_uid)

    def take(self, execution_id: str) -> Run | None:
        """See gates.PolicyGate."""
        return self._waiting.remove(execution_id)

    def forget(self, shard: int) -> None:
        """See gates.PolicyGate. What is forgotten is asked about by the shard's next owner."""
        self._waiting.forget(shard)

    async def run(self) -> None:
        """Asks about the runs that wait, and ends their patience; until cancelled."""
        async with TaskGroup() as group:
            for _ in range(CALLS):
                group.create_task(self._ask_on())
            group.create_task(self._lose_patience())

    async def _ask_on(self) -> None:
        turns = Turns(self._clock)
        while True:
            await self._waiting.has_ready.wait()
            jobs = self._waiting.check_out(self._most)
            try:
                groups = [group for uid in jobs if (group := await self._group(uid, turns)) is not None]
                await self._judge(groups, turns)
            except Fault as fault:
                await self._put_off(fault, len(jobs))
            finally:
                self._waiting.check_in(jobs)

    async def _group(self, job_uid: str, turns: Turns) -> _Group | None:
        """Whom to ask about next of a job. Lets go on about whom nobody has to be asked any more.

        Where rules look at how many runs are under way, one run is asked about at a time.
        """
        while (first := self._waiting.first_of(job_uid)) is not None:
            uses = self._book.uses(RUN, first.job.namespace, first.job.tags)
            standing = self._standing.find(first, self._book.revision) if uses is not None else None
            if uses is not None and standing is None:
                alike = takewhile(partial(_is_alike, first), self._waiting.of_job(job_uid))
                return _Group([first] if LOAD in uses else list(alike), uses)
            self._waiting.remove(first.execution_id)
            self._on_verdict(first, GRANTED if standing is None else self._repeat(first, standing))
            await turns.leave()
        return None

    async def _judge(self, groups: Sequence[_Group], turns: Turns) -> None:
        if not groups:
            return
        questions = await self._facts.of([RunAsked(group.runs[0], group.uses) for group in groups])
        start = 0
        while start < len(groups):
            end = _fitting(questions, start)
            decided = await self._policies.decide(questions[start:end])
            self._learn_of_answer()
            for group, answer in zip(groups[start:end], decided.answers, strict=True):
                await self._conclude(group, answer, decided.revision, turns)
            start = end

    async def _conclude(self, group: _Group, answer: decision_service_pb2.Answer, revision: int, turns: Turns) -> None:
        """Tells those of a group that still wait."""
        first, decision = group.runs[0], answer.decision
        denial = "" if decision.allowed else denial_of(decision) or "a policy refuses it, and does not say why"
        standing = Standing(version=first.job.version, revision=revision, decision=decision, denial=denial)
        if answer.is_lasting:
            self._standing.keep(first, standing)
        is_told = False
        for run in group.runs:
            if self._waiting.remove_same(run):
                repeats = answer.is_lasting and is_told
                self._on_verdict(run, self._repeat(run, standing) if repeats else self._say(run, standing))
                is_told = True
            await turns.leave()

    def _say(self, run: Run, standing: Standing) -> Answer:
        """The answer, which is accounted for if there is something to say."""
        outcome = outcome_of(standing.decision)
        if outcome != ALLOWED or self._accounts.takes_allowed:
            self._account(run, outcome, standing.decision, standing.revision)
        return Answer(Verdict.REFUSED, standing.denial) if standing.denial else GRANTED

    def _repeat(self, run: Run, standing: Standing) -> Answer:
        """The answer of a decision that stands: a warning was accounted for when it was given."""
        return self._say(run, standing) if standing.denial else GRANTED

    async def _put_off(self, fault: Fault, jobs: int) -> None:
        """Waits a little; fewer are asked about then, as it may have been too much for one call."""
        if not self._problem:
            self._log.warning("policies could not be asked, runs wait", waiting=len(self._waiting), error=fault.message)
        self._problem = fault.message or UNTOLD
        self._most = max(1, min(self._most, jobs) // 2)
        await self._clock.sleep(PAUSE_AFTER_FAILURE)

    def _learn_of_answer(self) -> None:
        if self._problem:
            self._log.info("policies can be asked again", waiting=len(self._waiting))
        self._problem = ""
        self._most = min(2 * self._most, BATCH)

    async def _lose_patience(self) -> None:
        while True:
            await self._waiting.has_any.wait()
            await self._clock.sleep(CHECK_INTERVAL)
            now = self._clock.monotonic()
            for run in self._waiting.since(now - PATIENCE.total_seconds()):
                if self._waiting.remove(run.execution_id) is not None:
                    self._on_verdict(run, self._go_without(run))
            for run in self._waiting.since(now - HARMLESS_PATIENCE.total_seconds()):
                if not self._can_be_denied(run) and self._waiting.remove(run.execution_id) is not None:
                    self._on_verdict(run, self._go_without(run))

    def _go_without(self, run: Run) -> Answer:
        """What becomes of a run about which nobody could be asked."""
        if self._namespaces.allows_unjudged(run.job.namespace) or not self._can_be_denied(run):
            self._account(run, PolicyDecision.UNREACHABLE_ALLOWED)
            return GRANTED
        self._account(run, PolicyDecision.UNREACHABLE_DENIED)
        return Answer(
            Verdict.REFUSED,
            f"policies could not be asked for {PATIENCE.total_seconds():g} s ({self._problem or UNTOLD}), and the "
            f'namespace "{run.job.namespace}" lets nothing run without them; see that policy runs, or set its '
            "policy_failure to ALLOW",
        )

    def _can_be_denied(self, run: Run) -> bool:
        return self._book.can_deny(RUN, run.job.namespace, run.job.tags)

    def _account(
        self,
        run: Run,
        outcome: "PolicyDecision.Outcome.ValueType",
        decision: decision_pb2.Decision | None = None,
        revision: int = 0,
    ) -> None:
        account = PolicyDecision(
            namespace=run.job.namespace,
            job_id=run.job.id,
            execution_id=run.execution_id,
            operation=RUN,
            outcome=outcome,
            caller=run.origin.actor,
            decision=decision,
            policy_revision=revision,
        )
        account.time.FromDatetime(self._clock.now())
        self._accounts.add(account)


def _nobody(run: Run, answer: Answer) -> None:
    """Hears the verdicts until somebody else does."""


def _is_alike(run: Run, other: Run) -> bool:
    """Whether what is said of one run of a job holds for another one that is to begin at the same time."""
    return run.job.version == other.job.version and run.origin.actor == other.origin.actor


def _fitting(questions: Sequence[Question], start: int) -> int:
    """Up to where questions fit into one call, at least one."""
    end, size = start + 1, questions[start].ByteSize()
    while end < len(questions) and (size := size + questions[end].ByteSize()) <= BATCH_BYTES:
        end += 1
    return end
