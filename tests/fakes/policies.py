"""In-memory stand-ins for policies, and for whom the guard asks."""

from collections.abc import Callable, Mapping, Sequence

from chronos.history.v1 import policy_decision_pb2
from chronos.policy.v1 import decision_pb2, decision_service_pb2, policy_pb2, stored_policy_pb2

from libs.clock import Clock
from libs.faults import Unavailable
from services.scheduler.policies.guard import Guard
from services.scheduler.policies.questions import Questions
from services.scheduler.ports.policies import Decided, Operation
from tests.fakes.clock import FakeClock
from tests.fakes.firing import FakeCalendarBook
from tests.fakes.namespaces import FakeNamespaceBook

Decision = decision_pb2.Decision
Policy = policy_pb2.Policy
Question = decision_service_pb2.Question
Judge = Callable[[Question], Decision]


class FakePolicyBook:
    """Says that some policy applies to the operations in `applies`, whose rules look at what is told there."""

    def __init__(self, applies: Mapping[Operation, frozenset[str]] | None = None) -> None:
        self.applies = dict(applies or {})
        self.tagged: dict[str, str] = {}
        """Tags that jobs must have."""
        self.is_harmless = False
        """Whether they can only warn."""
        self.revision = 7

    def uses(self, operation: Operation, namespace: str, tags: Mapping[str, str]) -> frozenset[str] | None:
        has_tags = all(tags.get(name) == value for name, value in self.tagged.items())
        return self.applies.get(operation) if has_tags else None

    def can_deny(self, operation: Operation, namespace: str, tags: Mapping[str, str]) -> bool:
        return not self.is_harmless and self.uses(operation, namespace, tags) is not None


class FakePolicies:
    """Judges by a function of the test; can be away."""

    def __init__(self, judge: Judge) -> None:
        self.judge = judge
        self.is_away = False
        self.asked: list[Question] = []
        self.batches: list[int] = []
        self.drafts: list[Policy | None] = []

    async def decide(self, questions: Sequence[Question], *, draft: Policy | None = None) -> Decided:
        if self.is_away:
            raise Unavailable("no policy service is there")
        self.asked += questions
        self.batches.append(len(questions))
        self.drafts.append(draft)
        answers = [decision_service_pb2.Answer(decision=self.judge(question)) for question in questions]
        return Decided(answers=answers, revision=9)


class FakePolicyFinder:
    """Stored policies in a dict."""

    def __init__(self) -> None:
        self.stored: dict[str, stored_policy_pb2.StoredPolicy] = {}

    async def find(self, policy_id: str) -> stored_policy_pb2.StoredPolicy | None:
        return self.stored.get(policy_id)


class FakeAccounts:
    """Remembers what was accounted for."""

    def __init__(self) -> None:
        self.decisions: list[policy_decision_pb2.PolicyDecision] = []
        self.takes_allowed = False

    def add(self, decision: policy_decision_pb2.PolicyDecision) -> None:
        self.decisions.append(decision)


class FakeLoads:
    """The same runs are under way everywhere."""

    def __init__(self, job_runs: int = 0, namespace_runs: int = 0) -> None:
        self.load = decision_service_pb2.Load(job_runs=job_runs, namespace_runs=namespace_runs)

    def of(self, namespace: str, job_uid: str) -> decision_service_pb2.Load:
        return self.load


class FakeTargetHosts:
    """Addresses of hosts in a dict."""

    def __init__(self, **known: str) -> None:
        self.known = known
        self.asked: list[str] = []

    async def addresses(self, hosts: Sequence[str]) -> Sequence[str]:
        self.asked += hosts
        return [self.known[host] for host in hosts if host in self.known]


def rule_result(policy: str = "naming", rule: str = "prefix", **fields: object) -> decision_pb2.RuleResult:
    """What a broken rule says."""
    result = decision_pb2.RuleResult(
        policy_id=policy, rule_id=rule, message="names begin with a team", field="job.name"
    )
    result.MergeFrom(decision_pb2.RuleResult(**fields))  # type: ignore[arg-type]
    return result


def allow(question: Question) -> Decision:
    """Nothing is broken."""
    return Decision(allowed=True)


def deny(question: Question) -> Decision:
    """A rule refuses it."""
    return Decision(violations=[rule_result()])


def warn(question: Question) -> Decision:
    """A rule warns of it."""
    return Decision(allowed=True, warnings=[rule_result()])


class GuardParts:
    """A guard, and those whom it asks."""

    def __init__(self, *operations: Operation, judge: Judge = allow, clock: Clock | None = None) -> None:
        clock = clock or FakeClock()
        self.book = FakePolicyBook(dict.fromkeys(operations, frozenset()))
        self.policies = FakePolicies(judge)
        self.namespaces = FakeNamespaceBook()
        self.accounts = FakeAccounts()
        self.calendars = FakeCalendarBook()
        self.hosts = FakeTargetHosts()
        self.loads = FakeLoads()
        self.questions = Questions(self.calendars, self.hosts, self.loads, clock)
        self.guard = Guard(
            book=self.book,
            policies=self.policies,
            questions=self.questions,
            namespaces=self.namespaces,
            accounts=self.accounts,
            clock=clock,
        )


def no_policies() -> Guard:
    """A guard of a cluster without policies."""
    return GuardParts().guard
