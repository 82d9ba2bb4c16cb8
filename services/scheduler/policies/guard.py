"""Keeps what policies refuse from happening."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace

from chronos.history.v1 import policy_decision_pb2
from chronos.policy.v1 import decision_pb2

from libs.clock import Clock
from libs.faults import Unavailable
from libs.log import get_logger
from libs.rpc import context as calls
from services.scheduler.policies.outcomes import ALLOWED, outcome_of
from services.scheduler.policies.questions import Questions, Subject
from services.scheduler.policies.refusals import refusal
from services.scheduler.ports.namespaces import NamespaceBook
from services.scheduler.ports.policies import Accounts, Decided, Policies, PolicyBook

PolicyDecision = policy_decision_pb2.PolicyDecision
RuleResult = decision_pb2.RuleResult

_heard: ContextVar[list[RuleResult] | None] = ContextVar("policy_warnings", default=None)


@contextmanager
def heard_warnings() -> Iterator[Sequence[RuleResult]]:
    """The warnings that guards hear within a block."""
    warnings: list[RuleResult] = []
    token = _heard.set(warnings)
    try:
        yield warnings
    finally:
        _heard.reset(token)


class Guard:
    """Asks policies about what callers of the API want."""

    def __init__(
        self,
        *,
        book: PolicyBook,
        policies: Policies,
        questions: Questions,
        namespaces: NamespaceBook,
        accounts: Accounts,
        clock: Clock,
    ) -> None:
        self._book = book
        self._policies = policies
        self._questions = questions
        self._namespaces = namespaces
        self._accounts = accounts
        self._clock = clock
        self._log = get_logger()

    async def ensure(self, *subjects: Subject, is_trial: bool = False) -> Sequence[RuleResult]:
        """Returns the warnings; raises Refused when policies refuse one of the subjects, all of one namespace.

        Whoever makes the present call is the caller. Nobody is asked where no policy applies. Raises Unavailable when
        policies cannot be asked, unless the namespace lets everything go on then. Denials, warnings and missing answers
        are accounted for, those of a trial, which changes nothing, are not.
        """
        caller = _caller()
        judged: list[Subject] = []
        questions = []
        for subject in subjects:
            uses = self._uses(subject)
            if uses is not None:
                judged.append(replace(subject, caller=caller))
                questions.append(await self._questions.of(judged[-1], uses))
        if not questions:
            return ()
        try:
            decided = await self._policies.decide(questions)
        except Unavailable as fault:
            self._go_on_or_raise(judged, fault, is_trial=is_trial)
            return ()
        if not is_trial:
            self._account(judged, decided)
        decisions = [answer.decision for answer in decided.answers]
        if not all(decision.allowed for decision in decisions):
            raise refusal(decisions)
        warnings = [warning for decision in decisions for warning in decision.warnings]
        heard = _heard.get()
        if heard is not None:
            heard.extend(warnings)
        return warnings

    def _uses(self, subject: Subject) -> frozenset[str] | None:
        """See PolicyBook.uses. A job that loses the tags that a policy goes by is still one of its jobs."""
        uses = [self._book.uses(subject.operation, subject.namespace, tags) for tags in _tags(subject)]
        told = [one for one in uses if one is not None]
        return frozenset().union(*told) if told else None

    def _can_be_denied(self, subject: Subject) -> bool:
        return any(self._book.can_deny(subject.operation, subject.namespace, tags) for tags in _tags(subject))

    def _go_on_or_raise(self, judged: Sequence[Subject], fault: Unavailable, *, is_trial: bool) -> None:
        """Where no policy that applies can refuse anything, nobody waits for what they would say."""
        namespace = judged[0].namespace
        goes_on = self._namespaces.allows_unjudged(namespace) or not any(map(self._can_be_denied, judged))
        self._log.warning("policies could not be asked", namespace=namespace, goes_on=goes_on, error=fault.message)
        outcome = PolicyDecision.UNREACHABLE_ALLOWED if goes_on else PolicyDecision.UNREACHABLE_DENIED
        if not is_trial:
            for subject in judged:
                self._accounts.add(self._accounted(subject, outcome))
        if not goes_on:
            raise Unavailable(
                f'policies could not be asked, and the namespace "{namespace}" lets nothing go on without them; try '
                "again in a moment, or replace the namespace with policy_failure ALLOW",
                reason="POLICIES_UNREACHABLE",
                metadata={"namespace": namespace},
            ) from fault

    def _account(self, judged: Sequence[Subject], decided: Decided) -> None:
        """Denials, and warnings only where nothing else refuses: what is accounted for as warned of went on."""
        goes_on = all(answer.decision.allowed for answer in decided.answers)
        for subject, answer in zip(judged, decided.answers, strict=True):
            decision = answer.decision
            outcome = outcome_of(decision)
            if (decision.allowed and not goes_on) or (outcome == ALLOWED and not self._accounts.takes_allowed):
                continue
            account = self._accounted(subject, outcome)
            account.decision.CopyFrom(decision)
            account.policy_revision = decided.revision
            self._accounts.add(account)

    def _accounted(self, subject: Subject, outcome: "PolicyDecision.Outcome.ValueType") -> PolicyDecision:
        account = PolicyDecision(
            namespace=subject.namespace,
            job_id=subject.job.id,
            operation=subject.operation,
            outcome=outcome,
            caller=subject.caller.id,
        )
        account.time.FromDatetime(self._clock.now())
        return account


def _tags(subject: Subject) -> Sequence[Mapping[str, str]]:
    """The tags that decide which policies apply: those of the job as it will be, and as it was."""
    return (subject.job.tags,) if subject.before is None else (subject.job.tags, subject.before.tags)


def _caller() -> calls.Principal:
    try:
        return calls.current().principal
    except LookupError:
        return calls.ANYBODY
