"""What policies say to an operation."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from services.policy.domain.compiled import CompiledPolicy, CompiledRule
from services.policy.domain.facts import CHANGING, Facts, clock_facts
from services.policy.domain.limits import Extent, TooLarge, measure
from services.policy.domain.policy import Action, Json, Operation, Policy, Severity, applies, has_tags, is_for
from services.policy.domain.sentences import Blame, blame

__all__ = ["Decision", "Judgement", "PolicySet", "Question", "RuleResult", "applies"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """An operation, and everything that a rule can see."""

    operation: Operation
    namespace: str
    facts: dict[str, Json]
    """By root: `job`, `before`, `caller`, `timing`, `endpoint`, `load`, `extent`, `calendars`. What is missing is not
    known. `operation`, `namespace`, `now` and `params` are added here."""
    time: datetime
    """When: aware."""
    timezone: str = ""
    """The job's IANA zone. Empty means UTC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleResult:
    """A rule that had something to say."""

    policy_id: str
    policy_name: str
    policy_version: int
    rule_id: str
    rule_name: str
    action: Action
    severity: Severity
    message: str
    field: str = ""
    """The first field that did not hold, with the index of the element. Empty for an expression."""
    actual_value: Json = None
    """What stood there, cut when it is long; None when nothing did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What policies say to an operation."""

    violations: tuple[RuleResult, ...] = ()
    warnings: tuple[RuleResult, ...] = ()
    audited: tuple[RuleResult, ...] = ()
    allowed_by: RuleResult | None = None

    @property
    def is_allowed(self) -> bool:
        """Whether the operation may go on."""
        return not self.violations


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """A decision, and how long it holds."""

    decision: Decision
    is_lasting: bool
    """True when it holds for the same job until a policy changes."""


class PolicySet:
    """Policies that judge together, indexed by what they apply to. Those that are disabled say nothing."""

    def __init__(self, policies: Iterable[CompiledPolicy]) -> None:
        enabled = [one for one in policies if one.policy.is_enabled]
        self._policies = sorted(enabled, key=lambda one: (-one.policy.priority, one.policy.id))
        self._named = frozenset(namespace for one in enabled for namespace in one.policy.namespaces)
        self._by_place: dict[tuple[Operation, str], tuple[CompiledPolicy, ...]] = {}

    def judge(self, question: Question) -> Judgement:
        """What the policies say. Never raises, whatever the facts; about a microsecond for each rule."""
        tags = tags_of(question)
        applying = [one for one in self._there(question) if not one.policy.tags or _is_about(one.policy, tags)]
        return _Judging(question).judge(applying) if applying else NOTHING_SAID

    def _there(self, question: Question) -> tuple[CompiledPolicy, ...]:
        """Those that judge the operation in the namespace, whatever the tags."""
        place = (question.operation, question.namespace if question.namespace in self._named else "")
        found = self._by_place.get(place)
        if found is None:
            found = tuple(one for one in self._policies if is_for(one.policy, *place))
            self._by_place[place] = found
        return found


class _Judging:
    """One judgement under way."""

    def __init__(self, question: Question) -> None:
        self.question = question
        roots: dict[str, Json] = {**question.facts, "operation": question.operation.value}
        self.facts = Facts({**roots, "namespace": question.namespace}, Extent())
        self.said: dict[Action, list[RuleResult]] = {action: [] for action in Action}
        self.excess = ""
        """Why the facts are too large to be judged by, if they are."""
        try:
            self.facts.extent = measure(dict(self.facts))
        except TooLarge as error:
            self.excess = f"it cannot be judged, since the facts are too large: {error}"

    def judge(self, policies: Iterable[CompiledPolicy]) -> Judgement:
        """Asks the policies in their order, until one of their rules allows."""
        is_lasting = True
        for one in policies:
            is_lasting = is_lasting and one.uses.isdisjoint(CHANGING)
            if self._ask(one):
                break
        allowed_by = next(iter(self.said[Action.ALLOW]), None)
        decision = Decision(
            violations=tuple(self.said[Action.DENY]),
            warnings=tuple(self.said[Action.WARN]),
            audited=tuple(self.said[Action.AUDIT]),
            allowed_by=allowed_by,
        )
        return Judgement(decision=decision, is_lasting=is_lasting)

    def _ask(self, one: CompiledPolicy) -> bool:
        """Whether a rule of a policy allows the operation."""
        if self.excess:
            for rule in one.rules:
                if not rule.is_allowing:
                    self._say(one.policy, rule, Blame(self.excess, is_unknown=True))
            return False
        facts = self._facts_for(one)
        for holds, rule in one.steps:
            if holds(facts):
                if rule.is_allowing:
                    self._say(one.policy, rule, Blame(""))
                    return True
            elif not rule.is_allowing:
                self._say(one.policy, rule, blame(rule.node, facts))
        return False

    def _facts_for(self, one: CompiledPolicy) -> Facts:
        """The facts, with the clock and the parameters where a policy looks at them."""
        own: dict[str, Json] = {}
        if "now" in one.uses:
            own["now"] = clock_facts(self.question.time, one.policy.timezone or self.question.timezone)
        if one.has_parameters:
            own["params"] = dict(one.policy.parameters)
        return Facts({**self.facts, **own}, self.facts.extent) if own else self.facts

    def _say(self, policy: Policy, rule: CompiledRule, why: Blame) -> None:
        message = rule.rule.message or why.message
        if rule.rule.message and why.is_unknown:
            message = f"{rule.rule.message} ({why.message})"
        result = RuleResult(
            policy_id=policy.id,
            policy_name=policy.name,
            policy_version=policy.version,
            rule_id=rule.rule.id,
            rule_name=rule.rule.name,
            action=rule.action,
            severity=policy.severity,
            message=message,
            field=why.field,
            actual_value=why.actual_value,
        )
        self.said[rule.action].append(result)


NOTHING_SAID = Judgement(decision=Decision(), is_lasting=True)


def tags_of(question: Question) -> Sequence[Mapping[str, Json]]:
    """The tags that decide what applies: those of the job as it will be, and as it was.

    So a change that takes away a tag is judged by the policies that go by it.
    """
    found: list[Mapping[str, Json]] = []
    for root in ("job", "before"):
        job = question.facts.get(root)
        tags = job.get("tags") if isinstance(job, dict) else None
        found.append(tags if isinstance(tags, dict) else {})
    return found


def _is_about(policy: Policy, tags: Iterable[Mapping[str, Json]]) -> bool:
    return any(has_tags(policy, each) for each in tags)
