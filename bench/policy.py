"""How long it takes to judge a job by 1,000 rules, and what compiling them takes.

`python -m bench.policy [--rounds N]`; microseconds of processor time of one core, the best of the rounds.
"""

import argparse
from collections.abc import Callable
from datetime import UTC, datetime
from time import process_time

from services.policy.domain.compiled import CompiledPolicy, compile_policy
from services.policy.domain.judging import PolicySet, Question
from services.policy.domain.policy import AllOf, AnyOf, Condition, Expression, Json, Not, Operation, Policy, Rule, Test

RULES = 1000
JOB: dict[str, Json] = {
    "id": "nightly-report",
    "name": "Nightly report",
    "namespace": "default",
    "schedule": "0 4 * * *",
    "timezone": "Europe/Berlin",
    "enabled": True,
    "tags": {"team": "data", "environment": "production", "cost.center": "4711"},
    "webhook": {
        "url": "https://reports.example.com/run",
        "method": "POST",
        "headers": {f"x-header-{number}": "value" for number in range(10)},
        "body": "x" * 500,
    },
    "timeout": "300s",
    "retry_policy": {"max_attempts": 3, "initial_interval": "1s", "max_interval": "60s", "multiplier": 2.0},
    "active_windows": [{"start": "08:00", "end": "18:00", "days": ["MON", "TUE"]} for _ in range(5)],
}
FACTS: dict[str, Json] = {
    "job": JOB,
    "caller": {"id": "2bnbuqiskftb", "permissions": ["job:create", "job:update"]},
    "timing": {"shortest_interval": "86400s", "shortest_interval_seconds": 86400, "runs_per_day": 1},
    "extent": {"jobs": 1, "runs": 0},
}
USUAL: list[Condition] = [
    Test("webhook.url", "starts_with", "https://"),
    Test("tags.team", "exists"),
    Test("tags.environment", "in", ["production", "staging", "development"]),
    Test("retry_policy.max_attempts", "less_or_equal", 10),
    Test("timeout", "less_or_equal", "30m"),
    Test("name", "matches", "^[A-Za-z0-9][A-Za-z0-9 -]*$"),
    AllOf((Test("enabled", "equals", True), Test("webhook.method", "not_equals", "DELETE"))),
    AnyOf((Test("tags.team", "equals", "platform"), Test("timing.runs_per_day", "less_than", 100))),
    Not(Test("webhook.url", "contains", "internal")),
    Test("active_windows[*].start", "is_not_empty"),
]
EXPRESSION: list[Condition] = [Expression("job.active_windows.all(window, window.start < window.end)")]


def compiled(conditions: list[Condition], *, is_kept: bool = True) -> CompiledPolicy:
    """A policy of 1,000 rules, all of them kept or, where the conditions are turned round, all of them broken."""
    wanted = conditions if is_kept else [Not(condition) for condition in conditions]
    rules = tuple(
        Rule(id=f"rule-{number}", name=f"Rule {number}", condition=wanted[number % len(wanted)])
        for number in range(RULES // 4)
    )
    return compile_policy(Policy(id="bench", name="Bench", rules=rules))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.policy", description="Measures judging by 1,000 rules.")
    parser.add_argument("--rounds", type=int, default=20)
    rounds = parser.parse_args().rounds
    question = Question(
        operation=Operation.CREATE, namespace="default", facts=FACTS, time=datetime(2026, 3, 2, tzinfo=UTC)
    )
    print(f"{'µs':44}{'judge a job':>14}{'compile':>14}")
    for name, conditions, is_kept in (
        ("1,000 rules, each kept", USUAL, True),
        ("1,000 rules, each broken", USUAL, False),
        ("1,000 rules that compare one text", USUAL[:1], True),
        ("1,000 rules with a regular expression", USUAL[5:6], True),
        ("1,000 rules in CEL", EXPRESSION, True),
    ):
        quarters = [compiled(conditions, is_kept=is_kept) for _ in range(4)]
        policies = PolicySet(quarters)
        decision = policies.judge(question).decision
        assert len(decision.violations) == (0 if is_kept else RULES)
        judging = fastest(lambda policies=policies: policies.judge(question), rounds)  # type: ignore[misc]
        compiling = 4 * fastest(lambda now=conditions: compiled(now), max(rounds // 5, 1))  # type: ignore[misc]
        print(f"{name:44}{judging:14,.0f}{compiling:14,.0f}")


def fastest(work: Callable[[], object], rounds: int) -> float:
    """Microseconds of the fastest round."""
    return min(timed(work) for _ in range(rounds)) * 1e6


def timed(work: Callable[[], object]) -> float:
    begin = process_time()
    work()
    return process_time() - begin


if __name__ == "__main__":
    main()
