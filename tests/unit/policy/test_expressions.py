"""What expressions in CEL mean, and that none takes long."""

from datetime import UTC, datetime

import pytest

from services.policy.domain.expressions import Program
from services.policy.domain.facts import Facts
from services.policy.domain.judging import PolicySet
from services.policy.domain.limits import MAX_EXPRESSION_COST, measure
from services.policy.domain.policy import Expression, Json, Not, Test
from tests.unit.policy.language import compiled, holds, message, policy, problems, question

JOB: Json = {
    "tags": {"team": "data"},
    "windows": [{"start": "08:00", "hours": [8, 9]}, {"start": "12:00", "hours": [12]}],
    "url": "https://a.example.com",
    "limit": 5.0,
    "namespace": "default",
}
FACTS: dict[str, Json] = {"job": JOB, "timing": {"runs_per_day": 24}}


def outcome(text: str, facts: dict[str, Json]) -> bool | str:
    return Program(text).outcome(Facts(facts, measure(facts)))


@pytest.mark.parametrize(
    "text",
    [
        "job.tags.team == 'data'",
        "job.limit == 5 && job.limit < 6",
        "job.windows.all(w, w.start >= '08:00')",
        "job.windows.all(w, w.hours.exists(h, h >= 8))",
        "job.windows.map(w, w.start) == ['08:00', '12:00']",
        "job.url.matches('^https://[a-z.]+$')",
        "matches(job.url, 'example') && !job.url . matches ('[.]org')",
        "before == null",
        "!has(load.job_runs) && !has(job.webhook)",
        "size(calendars) == 0",
        "timestamp(now.time) > timestamp('2026-01-01T00:00:00Z')",
        "now.weekday == 'friday' && now.hour == 23",
        "operation == 'create' && namespace == 'default'",
        "job.namespace == namespace",
        "params.most >= timing.runs_per_day",
        "type(job.limit) == double",
        "'all(' == 'all(' // .map( is no macro here",
    ],
)
def test_an_expression_holds_that_gives_true(text: str) -> None:
    assert holds(Expression(text), FACTS, parameters={"most": 24})
    assert not holds(Not(Expression(text)), FACTS, parameters={"most": 24})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("job.webhook.url == 'a'", "there is no 'webhook'"),
        ("job.tags", "it gives dict, not true or false"),
        ("job.tags.team > 5", "No such overload"),
        ("1 / 0 == 1", "division by zero"),
        ("9223372036854775807 + 1 > 0", "overflow"),
        ("job.url.matches(job.tags.team + '(')", '"data(" is no regular expression (RE2): missing ): data('),
        ("job.limit.matches('a')", "matches compares texts"),
    ],
)
def test_an_expression_that_fails_is_neither_true_nor_false_and_says_why(text: str, words: str) -> None:
    for condition in (Expression(text), Not(Expression(text))):
        said = message(condition, FACTS)
        assert said.startswith("the expression gives nothing, since ")
        assert words in said


def test_an_expression_begins_afresh_after_one_that_failed() -> None:
    one = compiled(Expression("job.url.matches('(' + job.tags.team)"), Expression("job.url.matches('^https')"))
    said = PolicySet([one]).judge(question(FACTS)).decision.violations
    assert [violation.rule_id for violation in said] == ["rule-0"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a &&", "it is no CEL: "),
        ("", "it is no CEL: "),
        ("'a", "a text without an end"),
        ("webhook.url == 'a'", "it looks at `webhook`, which is no fact"),
        ("job.url.split('/').size() > 1", "there is no function `split`"),
        ("true || " + "x" * 2000, "at most 2,000 characters"),
        ("(" * 33 + "true" + ")" * 33, "brackets are nested deeper than 32"),
        ("(" * 900 + "true" + ")" * 900, "brackets are nested deeper than 32"),
        ("[1].all(a, [1].all(b, [1].all(c, true)))", "nested deeper than 2"),
        ("[1].all(a, [1] . exists /**/ (b, true))", "it is no CEL: "),
        ("[1].all(a, [1] // a comment\n . exists // another\n (b, [1].filter(c, true).size() > 0))", "deeper than 2"),
        ('"""a\\""".all(""" == "" && [1].map(a, a).map(b, b).map(c, c) == [1]', "map more than once"),
        ("[[1, 1]]" + ".map(x, [x, x])" * 25 + ".size() == 1", "map more than once"),
        ("optional.of(1).optMap(x, x + x).hasValue()", "there is no `optMap`"),
        ("[1].transformList(i, v, v) == [1]", "there is no `transformList`"),
    ],
)
def test_what_means_nothing_or_could_run_away_is_refused_with_the_policy(text: str, words: str) -> None:
    found = problems(policy(Test("a", "exists"), Expression(text)))
    assert list(found) == ["rules[1].condition.expression"]
    assert words in found["rules[1].condition.expression"]


MANY: Json = list(range(1000))


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        ("job.a.all(x, job.a.all(y, x * y >= 0))", {"job": {"a": MANY}}),
        ("job.a.map(x, job.a).all(x, x == job.a)", {"job": {"a": MANY}}),
        ("job.a.map(x, job.a.filter(y, y > 0)).size() == 1", {"job": {"a": MANY}}),
        ("job.a.all(x, job.b == job.b)", {"job": {"a": MANY, "b": [{"x": [1, 2, 3]}] * 1000}}),
        ("job.a.all(x, job.t + job.t != job.t)", {"job": {"a": MANY, "t": "x" * 100_000}}),
        ("+".join(["job.t"] * 200) + " == 'x'", {"job": {"t": "x" * 1_000_000}}),
        ("job.a.all(x, [x]" + " + [x]" * 20 + " != [1])", {"job": {"a": MANY}}),
    ],
)
def test_what_could_take_long_with_the_facts_is_not_run_and_never_taken_for_kept(
    text: str, facts: dict[str, Json]
) -> None:
    assert f"and the most is {MAX_EXPRESSION_COST:,}" in str(outcome(text, facts))
    assert "steps" in message(Expression(text), facts)
    assert "steps" in message(Not(Expression(text)), facts)


def test_lists_that_the_expression_itself_spells_out_count() -> None:
    numbers = "[" + ", ".join(["1"] * 300) + "]"
    assert "steps" in str(outcome(f"{numbers}.all(x, {numbers}.all(y, x == y))", {}))
    assert outcome(f"{numbers}.all(x, x == 1)", {}) is True


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        ("calendars.all(x, x >= 'a')", {"calendars": ["a"] * 1000}),
        ("job.a.all(x, job.a.all(y, x * y >= 0))", {"job": {"a": list(range(50))}}),
        ("job.t.contains('y') == false", {"job": {"t": "x" * 1_000_000}}),
    ],
)
def test_what_is_bounded_runs(text: str, facts: dict[str, Json]) -> None:
    assert outcome(text, facts) is True


def test_searches_of_an_expression_are_bounded_together() -> None:
    facts: dict[str, Json] = {"job": {"t": "x" * 9_000}, "calendars": ["a"] * 100}
    assert outcome("job.t.matches('(x?){50}y') == false", facts) is True
    assert outcome("calendars.all(x, job.t.matches('(x?){50}y') == false)", facts) == (
        "its searches with matches would take too long"
    )
    several: dict[str, Json] = {"calendars": [f"name-{number}" for number in range(200)]}
    assert outcome(f"calendars.all(x, 'b'.matches('[a-z]{{900}}{'x' * 50}' + x) == false)", several) == (
        "its searches with matches would take too long"
    )


@pytest.mark.parametrize(
    ("text", "uses"),
    [
        ("job.a == 1", frozenset()),
        ("now.hour > 8 || load.job_runs > 1", {"now", "load"}),
        ("calendars.exists(c, c == 'a') && endpoint.is_private", {"calendars", "endpoint"}),
        ("job.now.all(load, load > 1)", frozenset()),
        ("timing.runs_per_day < 5", {"timing"}),
    ],
)
def test_an_expression_uses_the_facts_that_it_looks_at(text: str, uses: frozenset[str]) -> None:
    assert compiled(Expression(text)).uses == uses


def test_a_large_set_of_parameters_beside_large_facts_is_judged() -> None:
    facts: dict[str, Json] = {"job": {"a": [0] * 9_000, "b": [0] * 9_000}}
    parameters: dict[str, Json] = {"x": [0] * 9_000, "y": [0] * 9_000}
    assert holds(Expression("size(job.a) == size(params.x)"), facts, parameters=parameters)


def test_the_clock_is_that_of_the_policy_then_of_the_job() -> None:
    now = datetime(2026, 3, 6, 23, 30, tzinfo=UTC)
    for policy_zone, job_zone, weekday in (
        ("", "", "friday"),
        ("", "Europe/Berlin", "saturday"),
        ("America/New_York", "Europe/Berlin", "friday"),
        ("", "No/Where", "friday"),
    ):
        is_weekend = "true" if weekday == "saturday" else "false"
        expression = Expression(f"now.weekday == '{weekday}' && now.is_weekend == {is_weekend}")
        one = compiled(expression, timezone=policy_zone)
        assert PolicySet([one]).judge(question({}, time=now, timezone=job_zone)).decision.is_allowed
