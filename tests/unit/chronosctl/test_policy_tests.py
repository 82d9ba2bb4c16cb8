"""`chronosctl policy test`: the tests that policy files hold, run without a server; and those of the examples."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.fakes.edge import FakeEdge
from tests.unit.chronosctl.conftest import Ctl

FOLDER = Path(__file__).parents[3] / "examples" / "policies"
EXAMPLES = sorted(FOLDER.glob("*.yaml"))
BUILT_IN = sorted((FOLDER.parents[1] / "services" / "policy" / "builtins").glob("*.yaml"))
PLAIN: dict[str, Any] = {"name": "A", "schedule": "@hourly", "webhook": {"url": "http://x"}}
SECURE = PLAIN | {"webhook": {"url": "https://x"}}
DENIED = {"name": "plain HTTP", "job": PLAIN, "expect": "denied", "rules": ["url"]}
ALLOWED = {"name": "HTTPS", "job": SECURE, "expect": "allowed"}


def policy(*tests: Any, **fields: Any) -> str:
    """A file with one policy that wants HTTPS."""
    condition = {"field": "webhook.url", "operator": "starts_with", "value": "https://"}
    rule = {"id": "url", "name": "URL", "message": "use https", "condition": condition}
    return yaml.safe_dump({"id": "p", "name": "P", "rules": [rule], "tests": list(tests)} | fields, sort_keys=False)


@pytest.mark.parametrize("path", [*EXAMPLES, *BUILT_IN], ids=lambda path: path.name)
def test_the_tests_of_what_is_shown_and_shipped_pass(ctl: Ctl, path: Path) -> None:
    ran = ctl("policy", "test", str(path), server="http://127.0.0.1:1")
    assert (ran.status, "FAILED" in ran.out) == (0, False), ran
    document = yaml.safe_load(path.read_text())
    expected = {test["expect"] for test in document["tests"]}
    assert ("allowed" in expected, bool(expected & {"denied", "warned"})) == (True, True)


def test_the_policy_that_the_documentation_begins_with_passes_its_tests(ctl: Ctl) -> None:
    page = (FOLDER.parents[1] / "docs" / "policies" / "README.md").read_text()
    written, shown = (page.split(fence, 1)[1].split("```")[0] for fence in ("```yaml\n", "```text\n"))
    ran = ctl("policy", "test", "-", stdin=written)
    assert ran.status == 0
    cells = [[cell for cell in re.split("  +", line) if cell] for line in shown.splitlines()[:-1]]
    printed = [[cell for cell in re.split("  +", line) if cell] for line in ran.out.splitlines()]
    assert [row[:5] for row in printed] == [row[:5] for row in cells]
    assert ran.err == shown.splitlines()[-1] + "\n"


def test_each_example_of_a_policy_is_in_the_list_of_examples() -> None:
    listed = (FOLDER.parent / "README.md").read_text()
    assert EXAMPLES
    assert [path.name for path in EXAMPLES if f"](policies/{path.name})" not in listed] == []


def test_tests_that_pass_are_told_and_no_server_is_asked(ctl: Ctl, edge: FakeEdge) -> None:
    ran = ctl("policy", "test", "-", stdin=policy(DENIED, ALLOWED))
    assert ran.status == 0
    first, second = (line.split() for line in ran.out.splitlines()[1:])
    assert first[:4] == ["ok", "p", "plain", "HTTP"]
    assert " ".join(first[4:]) == 'denied denied DENY url: use https (webhook.url = "http://x")'
    assert second == ["ok", "p", "HTTPS", "allowed", "allowed"]
    assert "All 2 tests passed." in ran.err
    assert edge.asked == []


def test_a_test_that_fails_tells_what_stood_there_and_exits_with_1(ctl: Ctl) -> None:
    wrong = DENIED | {"job": SECURE}
    ran = ctl("policy", "test", "-", stdin=policy(wrong, ALLOWED | {"job": PLAIN}))
    assert ran.status == 1
    assert 'url says nothing (webhook.url = "https://x")' in ran.out
    assert 'DENY url: use https (webhook.url = "http://x")' in ran.out
    assert "2 of 2 tests failed" in ran.err


def test_a_rule_that_was_to_speak_and_did_not_fails_the_test(ctl: Ctl) -> None:
    rules = yaml.safe_load(policy())["rules"]
    rules.append({"id": "team", "name": "T", "condition": {"field": "tags.team", "operator": "exists"}})
    text = policy(DENIED | {"rules": ["url", "team"], "job": PLAIN | {"tags": {"team": "x"}}}, rules=rules)
    ran = ctl("policy", "test", "-", stdin=text)
    assert ran.status == 1
    assert 'team says nothing (tags.team = "x")' in ran.out


def test_a_policy_that_does_not_judge_the_operation_is_told_as_the_reason(ctl: Ctl) -> None:
    ran = ctl("policy", "test", "-", stdin=policy(DENIED | {"operation": "run"}, namespaces=["team"]))
    assert ran.status == 1
    assert "the policy does not judge run of this job in the namespace default" in ran.out


@pytest.mark.parametrize(
    ("fields", "operation"),
    [({}, "create"), ({"type": "execution"}, "run"), ({"operations": ["enable", "delete"]}, "delete")],
)
def test_without_an_operation_a_test_is_about_the_first_that_is_judged(
    ctl: Ctl, fields: dict[str, Any], operation: str
) -> None:
    rules = [{"id": "op", "name": "O", "condition": {"field": "operation", "operator": "equals", "value": operation}}]
    ran = ctl("policy", "test", "-", stdin=policy({"job": PLAIN, "expect": "allowed"}, rules=rules, **fields))
    assert ran.status == 0


def test_a_policy_that_is_disabled_is_tested_all_the_same(ctl: Ctl) -> None:
    assert ctl("policy", "test", "-", stdin=policy(DENIED, enabled=False)).status == 0


def test_what_a_rule_only_accounts_for_counts_as_warned(ctl: Ctl) -> None:
    warned = DENIED | {"expect": "warned"}
    assert ctl("policy", "test", "-", stdin=policy(warned, action="warn")).status == 0
    assert ctl("policy", "test", "-", stdin=policy(warned, action="audit")).status == 0


def test_a_job_is_written_as_in_a_job_file_and_judged_as_rest_shows_it(ctl: Ctl) -> None:
    conditions = [
        {"field": "timeout", "operator": "less_or_equal", "value": "5m"},
        {"field": "timeout", "operator": "equals", "value": "300s"},
        {"field": "concurrency", "operator": "equals", "value": "QUEUE"},
        {"field": "dependencies.depends_on[0]", "operator": "equals", "value": "x"},
        {"field": "description", "operator": "equals", "value": ""},
    ]
    rules = [{"id": f"r{n}", "name": "R", "condition": condition} for n, condition in enumerate(conditions)]
    job = {"name": "A", "timeout": "5m", "concurrency": "queue", "depends_on": ["x"]}
    assert ctl("policy", "test", "-", stdin=policy({"job": job, "expect": "allowed"}, rules=rules)).status == 0


def test_every_fact_can_be_given(ctl: Ctl) -> None:
    fields = {
        "before.name": "B",
        "caller.id": "k",
        "now.weekday": "friday",
        "timing.shortest_interval_seconds": 60,
        "timing.runs_per_day": 1440,
        "endpoint.hosts[0]": "x",
        "load.job_runs": 2,
        "extent.jobs": 3,
        "calendars[0]": "holidays",
        "namespace": "team",
    }
    rules = [
        {"id": f"r{n}", "name": "R", "condition": {"field": field, "operator": "equals", "value": value}}
        for n, (field, value) in enumerate(fields.items())
    ]
    facts = {
        "operation": "update",
        "namespace": "team",
        "job": {"name": "A"},
        "before": {"name": "B"},
        "caller": {"id": "k"},
        "time": "2026-11-20T12:00:00Z",
        "timing": {"shortest_interval": "1m", "runs_per_day": 1440},
        "endpoint": {"hosts": ["x"]},
        "load": {"job_runs": 2},
        "extent": {"jobs": 3},
        "calendars": ["holidays"],
        "expect": "allowed",
    }
    ran = ctl("policy", "test", "-", stdin=policy(facts, rules=rules))
    assert (ran.status, ran.out.count("DENY")) == (0, 0), ran.out


def test_programs_get_the_results_as_values(ctl: Ctl) -> None:
    ran = ctl("policy", "test", "-", "-o", "json", stdin=policy(DENIED, ALLOWED | {"job": PLAIN}))
    assert ran.status == 1
    printed = json.loads(ran.out)
    assert printed["failed"] == 1
    assert printed["tests"][0] == {
        "policy": "p",
        "test": "plain HTTP",
        "expected": "denied",
        "actual": "denied",
        "passed": True,
        "why": ['DENY url: use https (webhook.url = "http://x")'],
    }


def test_the_policies_of_a_file_of_everything_are_tested(ctl: Ctl, home: Path) -> None:
    (home / "a.yaml").write_text(policy(DENIED))
    untested = yaml.safe_load(policy()) | {"id": "q"}
    bundle = {"jobs": [PLAIN], "policies": [untested, yaml.safe_load(policy(ALLOWED))]}
    (home / "b.yaml").write_text(yaml.safe_dump(bundle))
    ran = ctl("policy", "test", "a.yaml", "b.yaml")
    assert (ran.status, len(ran.out.splitlines())) == (0, 3)
    assert "b.yaml: q has no tests." in ran.err


def test_what_the_server_printed_can_be_tested(ctl: Ctl) -> None:
    empty = {"and": [], "or": [], "parameter": "", "expression": ""}
    condition = empty | {"field": "webhook.url", "operator": "starts_with", "value": "https://"}
    rules = [{"id": "url", "name": "URL", "action": "ACTION_UNSPECIFIED", "description": "", "condition": condition}]
    printed = {"type": "JOB", "version": 3, "etag": "7", "updated_by": "k", "timezone": "", "priority": 0}
    assert ctl("policy", "test", "-", stdin=policy(DENIED, rules=rules, **printed)).status == 0


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        (policy(), "there are no tests"),
        (policy(DENIED | {"expect": "refused"}), "tests[0].expect is 'refused'"),
        (policy({"job": PLAIN}), "tests[0].expect is None"),
        (
            policy(DENIED, DENIED | {"rules": ["ulr"]}),
            "tests[1].rules: the policy has no rule 'ulr'; did you mean url?",
        ),
        (policy("just text"), "tests[0] is not a test"),
        (policy(DENIED | {"jobs": []}), "tests[0].jobs"),
        (policy(DENIED | {"job": {"nmae": "A"}}), "nmae"),
        (policy(DENIED | {"job": "A"}), "tests[0].job"),
        (policy(DENIED | {"timing": {"interval": "1m"}}), "tests[0].timing"),
        (policy(DENIED | {"extent": 3}), "tests[0].extent: it is 3"),
        (policy(DENIED | {"time": "yesterday"}), "tests[0].time"),
        (policy(DENIED, tests={"name": "A"}), "`tests:` is a list"),
        (policy(DENIED, prioritty=1), "prioritty"),
        (
            policy(DENIED, rules=[{"name": "R", "condition": {"field": "a", "operator": "is"}}]),
            "rules[0].condition.oper",
        ),
        (
            policy(
                DENIED,
                rules=[{"id": "url", "name": "R", "condition": {"field": "now.hour", "operator": "eq", "value": 1}}],
            ),
            "tests[0] needs a `time:`",
        ),
    ],
)
def test_a_file_that_cannot_be_understood_exits_with_2_and_says_where(ctl: Ctl, text: str, advice: str) -> None:
    ran = ctl("policy", "test", "-", stdin=text)
    assert (ran.status, advice in ran.err) == (2, True), ran.err


def test_all_faults_of_all_policies_are_told_at_once(ctl: Ctl) -> None:
    wrong = [{"name": name, "condition": {"field": "a", "operator": "matches", "value": "("}} for name in "ab"]
    policies = [yaml.safe_load(policy(DENIED, id=name, rules=wrong)) for name in "pq"]
    err = ctl("policy", "test", "-", stdin=yaml.safe_dump(policies)).err
    for part in (f"{name}: rules[{index}].condition.value: " for name in "pq" for index in (0, 1)):
        assert part in err
