"""The tests that a policy's file holds, and running them here: by the language itself, without a server."""

import difflib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from itertools import islice
from typing import Any, assert_never

from cli.chronosctl.errors import UsageError
from cli.chronosctl.policy_files import FACTS, TESTS, fact, policy_document
from cli.chronosctl.verdicts import outcome, said, standing, stood, verdicts
from services.policy.domain.compiled import CompiledPolicy, PolicyError, compile_policy
from services.policy.domain.documents import policy_from, question_from
from services.policy.domain.facts import Facts
from services.policy.domain.judging import PolicySet, Question, tags_of
from services.policy.domain.limits import Extent
from services.policy.domain.paths import read_path
from services.policy.domain.policy import (
    AllOf,
    AnyOf,
    Condition,
    Expression,
    Not,
    Operation,
    Policy,
    Test,
    Type,
    has_tags,
    is_for,
)

Json = dict[str, Any]
OUTCOMES = ("allowed", "denied", "warned")
# What is judged when a test does not say it, by what the policy judges.
USUAL = {Type.JOB: Operation.CREATE, Type.EXECUTION: Operation.RUN, Type.CLUSTER: Operation.CALENDAR}
MOST_PLACES = 5
# For policies that do not look at the clock.
ANY_TIME = "2026-01-01T00:00:00Z"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One test of a policy: an operation, and what the policy is to say to it."""

    name: str
    policy: CompiledPolicy
    question: Question
    expected: str
    rules: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What came of a test."""

    case: Case
    actual: str
    # A line for each rule that spoke, or that should have; what stood there with it.
    why: tuple[str, ...]
    passed: bool


def cases_of(policies: list[Json]) -> list[Case]:
    """The tests of some policies, in their order. Raises UsageError with every fault of every policy."""
    cases: list[Case] = []
    faults: list[str] = []
    for number, policy in enumerate(policies, start=1):
        label = str(policy.get("id") or policy.get("name") or f"policy {number}")
        try:
            cases += _cases(policy)
        except PolicyError as error:
            faults += [f"{label}: {path}: {description}" for path, description in error.problems]
        except UsageError as error:
            faults.append(f"{label}: {error}")
    if faults:
        raise UsageError("\n".join(faults))
    return cases


def run_case(case: Case) -> Result:
    """Judges by the test's policy alone, as if it were enabled."""
    decision = asdict(PolicySet([case.policy]).judge(case.question).decision)
    spoke = verdicts(decision)
    actual = outcome(decision).lower()
    silent = case.rules - {result["rule_id"] for _, result in spoke}
    passed = actual == case.expected and not silent
    return Result(case=case, actual=actual, why=tuple(_why(case, spoke, silent, passed)), passed=passed)


def _why(case: Case, spoke: list[tuple[str, Json]], silent: frozenset[str], passed: bool) -> Iterator[str]:
    """What the rules said, and of those that should have spoken, what they saw."""
    for word, result in spoke:
        place = stood(result)
        yield f"{word} {result['rule_id']}: {said(result)}" + (f" ({place})" if place else "")
    if passed:
        return
    policy, question = case.policy.policy, case.question
    if not (
        is_for(policy, question.operation, question.namespace)
        and any(has_tags(policy, tags) for tags in tags_of(question))
    ):
        yield f"the policy does not judge {question.operation} of this job in the namespace {question.namespace}"
        return
    facts = _facts(policy, question)
    for rule in policy.rules:
        if rule.id in silent or not spoke:
            seen = ", ".join(_seen(rule.condition, facts))
            yield f"{rule.id} says nothing" + (f" ({seen})" if seen else "")


def _seen(condition: Condition, facts: Facts) -> list[str]:
    """What stands at the paths that a condition looks at, the first few of them."""
    fields = dict.fromkeys(_fields(condition))
    places = [place for field in fields for place in islice(read_path(field).places(facts), MOST_PLACES)]
    return [standing(where, value) for where, value in places[:MOST_PLACES]]


def _facts(policy: Policy, question: Question) -> Facts:
    """What the rules of a policy see, but for the clock."""
    own: Json = {"operation": question.operation.value, "namespace": question.namespace}
    return Facts({**question.facts, **own, "params": dict(policy.parameters)}, Extent())


def _fields(condition: Condition) -> Iterator[str]:
    match condition:
        case AllOf(conditions) | AnyOf(conditions):
            for part in conditions:
                yield from _fields(part)
        case Not(part):
            yield from _fields(part)
        case Test(field):
            # The clock is worked out only when it is judged; the test says the time.
            if read_path(field).root != "now":
                yield field
        case Expression():
            pass
        case _:
            assert_never(condition)


def _cases(document: Json) -> Iterator[Case]:
    policy = compile_policy(replace(policy_from(policy_document(document)), is_enabled=True))
    tests = document.get(TESTS) or []
    if not isinstance(tests, list):
        raise UsageError("`tests:` is a list; begin each of them with `- `")
    for index, test in enumerate(tests):
        yield _case(policy, test, f"tests[{index}]")


def _case(policy: CompiledPolicy, test: Any, where: str) -> Case:
    if not isinstance(test, dict):
        raise UsageError(f"{where} is not a test; it has fields such as `name:`, `job:` and `expect:`")
    facts = dict(test)
    name, expected, rules = str(facts.pop("name", where)), facts.pop("expect", None), facts.pop("rules", [])
    if expected not in OUTCOMES:
        raise UsageError(f"{where}.expect is {expected!r}; it is one of {', '.join(OUTCOMES)}")
    return Case(
        name=name,
        policy=policy,
        question=_question(policy, facts, where),
        expected=expected,
        rules=_known_rules(policy, rules, where),
    )


def _known_rules(policy: CompiledPolicy, rules: Any, where: str) -> frozenset[str]:
    """The rules that must speak."""
    wanted = [rules] if isinstance(rules, str) else rules
    known = [rule.id for rule in policy.policy.rules]
    if not isinstance(wanted, list):
        raise UsageError(f"{where}.rules is a list of ids of rules")
    for rule in wanted:
        if rule not in known:
            near = difflib.get_close_matches(str(rule), known, n=1)
            meant = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
            raise UsageError(f"{where}.rules: the policy has no rule {rule!r}; {meant}")
    return frozenset(wanted)


def _question(policy: CompiledPolicy, facts: Json, where: str) -> Question:
    if "now" in policy.uses and "time" not in facts:
        raise UsageError(f"{where} needs a `time:`, since the policy looks at the clock")
    chosen = policy.policy.operations or {USUAL[policy.policy.type]}
    usual = next(operation for operation in Operation if operation in chosen)
    shown = {name: _fact(name, facts[name], f"{where}.{name}") for name in FACTS if facts.get(name) is not None}
    try:
        return question_from({"operation": usual.value, "namespace": "default", "time": ANY_TIME, **facts, **shown})
    except PolicyError as error:
        raise PolicyError(problem._replace(path=f"{where}.{problem.path}") for problem in error.problems) from error


def _fact(name: str, written: Any, where: str) -> Json:
    try:
        return fact(name, written)
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from error
