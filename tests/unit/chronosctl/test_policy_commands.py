"""`chronosctl policy` over the API: what is asked, what is shown. `policy test` is in test_policy_tests.py."""

import json
from typing import Any

import pytest
import yaml

from tests.fakes.edge import Answer, FakeEdge
from tests.unit.chronosctl.conftest import Ctl

POLICY: dict[str, Any] = {
    "id": "https-only",
    "name": "HTTPS only",
    "type": "JOB",
    "enabled": True,
    "priority": 10,
    "severity": "ERROR",
    "action": "DENY",
    "operations": ["CREATE", "UPDATE"],
    "parameters": {"scheme": "https://"},
    "rules": [
        {
            "id": "url",
            "name": "URL",
            "message": "use https",
            "action": "ACTION_UNSPECIFIED",
            "condition": {
                "or": [
                    {"field": "webhook.url", "operator": "starts_with", "parameter": "scheme"},
                    {"and": [{"field": "webhook", "operator": "not_exists"}, {"expression": "size(job.tags) > 0"}]},
                    {"not": {"field": "tags.plain", "operator": "not_equals", "value": "yes"}},
                ]
            },
        }
    ],
}
COMPUTED = {"version": 3, "created_at": "2026-11-01T00:00:00Z", "updated_at": "2026-11-02T00:00:00Z", "updated_by": "k"}
RESULT = {
    "policy_id": "https-only",
    "rule_id": "url",
    "action": "DENY",
    "message": "use https",
    "field": "webhook.url",
    "actual_value": "http://x",
}
LINE = 'https-only/url: use https (webhook.url = "http://x")'
DENIED = {"allowed": False, "violations": [RESULT], "warnings": [], "audited": []}
WARNED = {"allowed": True, "violations": [], "warnings": [RESULT | {"rule_id": "size", "field": ""}], "audited": []}
JOB = {"id": "a", "name": "A", "schedule": "@hourly", "webhook": {"url": "http://x"}}


def test_policies_are_listed_whatever_namespace_was_chosen(ctl: Ctl, edge: FakeEdge) -> None:
    edge.will(Answer(body={"policies": [POLICY | COMPUTED]}))
    lines = ctl("policy", "list", "--namespace", "team").out.splitlines()
    assert lines[0].split()[:4] == ["ID", "TYPE", "ENABLED", "DOES"]
    assert lines[1].split()[:7] == ["https-only", "JOB", "yes", "DENY", "10", "1", "3"]
    assert edge.asked[0].path == "/api/v1/policies"


def test_a_policy_is_shown_with_what_each_rule_wants(ctl: Ctl, edge: FakeEdge) -> None:
    edge.will(Answer(body=POLICY | COMPUTED))
    shown = ctl("policy", "get", "https-only").out
    condition = (
        "webhook.url starts_with params.scheme or (webhook not_exists and (size(job.tags) > 0)) "
        'or not (tags.plain not_equals "yes")'
    )
    for part in ("CREATE, UPDATE", 'scheme = "https://"', f"DENY  {condition}  use https", "by k"):
        assert part in shown
    assert edge.asked[0].path == "/api/v1/policies/https-only"


def test_what_get_printed_can_be_given_back_to_apply(ctl: Ctl, edge: FakeEdge) -> None:
    edge.will(Answer(body=POLICY | COMPUTED | {"etag": "7"}))
    printed = ctl("policy", "get", "https-only", "-o", "yaml").out
    ran = ctl("policy", "apply", "-f", "-", stdin=printed)
    assert (ran.status, ran.out) == (0, "Replaced policy https-only.\n")
    assert edge.asked[-1].body == POLICY | {"etag": "7"}


def test_applying_sends_everything_but_the_tests(ctl: Ctl, edge: FakeEdge) -> None:
    edge.will(Answer(status=404, body={"message": "no"}), Answer(body=POLICY))
    written = POLICY | {"type": "job", "operations": ["create", "Update"], "tests": [{"expect": "denied"}]}
    ran = ctl("policy", "apply", "-f", "-", "--validate-only", stdin=yaml.safe_dump([written]))
    assert ran.out == "Would create policy https-only.\n"
    asked = edge.asked[1]
    assert (asked.method, asked.path, asked.body) == ("POST", "/api/v1/policies", POLICY)
    assert asked.query == {"validate_only": ["true"]}


def test_a_file_of_everything_has_its_policies_applied_before_its_jobs(ctl: Ctl, edge: FakeEdge) -> None:
    edge.will(Answer(body={}))
    text = yaml.safe_dump({"jobs": [JOB], "policies": [POLICY | {"tests": []}]})
    assert ctl("apply", "-f", "-", "--namespace", "team", stdin=text).status == 0
    assert [(asked.path, asked.body) for asked in edge.asked if asked.method == "PUT"] == [
        ("/api/v1/policies/https-only", POLICY),
        ("/api/v1/namespaces/team/jobs/a", JOB),
    ]


@pytest.mark.parametrize(
    ("arguments", "method", "path", "told"),
    [
        ("delete https-only --etag 7", "DELETE", "", "Deleted https-only."),
        ("enable https-only", "POST", "/enable", "Enabled https-only."),
        ("disable https-only", "POST", "/disable", "Disabled https-only."),
        ("rollback https-only 2", "POST", "/rollback/2", "https-only is as it was at version 2: version 3."),
    ],
)
def test_a_policy_is_changed(ctl: Ctl, edge: FakeEdge, arguments: str, method: str, path: str, told: str) -> None:
    edge.will(Answer(body=POLICY | COMPUTED))
    assert ctl("policy", *arguments.split()).out.strip() == told
    assert (edge.asked[0].method, edge.asked[0].path) == (method, f"/api/v1/policies/https-only{path}")
    assert edge.asked[0].query == ({"etag": ["7"]} if method == "DELETE" else {})
    assert json.loads(ctl("policy", *arguments.split(), "-o", "json").out) == POLICY | COMPUTED


def test_versions_are_listed_with_who_made_them(ctl: Ctl, edge: FakeEdge) -> None:
    edge.will(Answer(body={"versions": [POLICY | COMPUTED, POLICY | {"enabled": False, "version": 2}]}))
    _, newest, older = ctl("policy", "versions", "https-only").out.splitlines()
    assert newest.split() == ["3", "2026-11-02", "00:00:00.000Z", "k", "yes", "DENY", "10", "1"]
    assert older.split() == ["2", "no", "DENY", "10", "1"]


def test_a_dry_run_of_a_stored_policy_tells_whom_it_would_hit(ctl: Ctl, edge: FakeEdge) -> None:
    hits = {
        "denied": [{"job_id": "a", "decision": DENIED}],
        "warned": [{"job_id": "b", "decision": WARNED}],
        "jobs": 2000,
        "denied_count": 1,
        "warned_count": 1200,
        "unaffected_count": 799,
    }
    edge.will(Answer(body=hits))
    ran = ctl("policy", "dry-run", "https-only", "--operation", "run", "--namespace", "team")
    assert f"a    DENIED    {LINE}" in ran.out
    assert "b    WARNED    https-only/size: use https  " in ran.out
    assert "Of 2000 jobs, 1 would be denied, 1200 warned, 799 unaffected. Shown are the first 2." in ran.err
    assert edge.asked[0].path == "/api/v1/namespaces/team/policies/https-only/dry-run"
    assert edge.asked[0].body == {"operation": "RUN"}


def test_a_policy_that_is_not_stored_can_be_tried_too(ctl: Ctl, edge: FakeEdge) -> None:
    edge.will(Answer(body={"jobs": 3, "unaffected_count": 3}))
    ran = ctl("policy", "dry-run", "-f", "-", stdin=yaml.safe_dump(POLICY | {"tests": []}))
    assert (ran.status, ran.out) == (0, "(none)\n")
    assert "Of 3 jobs, 0 would be denied, 0 warned, 3 unaffected.\n" in ran.err
    assert edge.asked[0].path == "/api/v1/policies/dry-run"
    assert edge.asked[0].body == {"policy": POLICY}


def test_a_job_is_judged_in_the_chosen_namespace_by_all_policies(ctl: Ctl, edge: FakeEdge) -> None:
    edge.will(Answer(body=DENIED))
    ran = ctl("policy", "evaluate", "-f", "-", "--namespace", "team", stdin=yaml.safe_dump(JOB | {"timeout": "5m"}))
    assert ran.status == 1
    assert "DENIED." in ran.out
    assert 'DENY  https-only/url  use https  webhook.url = "http://x"' in ran.out
    assert edge.asked[0].path == "/api/v1/policies/evaluate"
    assert edge.asked[0].body == {"job": JOB | {"timeout": "300s", "namespace": "team"}}


def test_a_job_is_judged_by_the_policy_of_a_file(ctl: Ctl, edge: FakeEdge, home: Any) -> None:
    edge.will(Answer(body={"allowed": True, "allowed_by": RESULT | {"field": "tags.team", "actual_value": "x"}}))
    (home / "policy.yaml").write_text(yaml.safe_dump(POLICY | {"tests": [1]}))
    arguments = ("policy", "evaluate", "-f", "-", "--policy", "policy.yaml", "--operation", "trigger")
    ran = ctl(*arguments, stdin=yaml.safe_dump(JOB | {"namespace": "own"}))
    assert (ran.status, ran.out.splitlines()[0]) == (0, "ALLOWED.")
    assert 'ALLOW  https-only/url  use https  tags.team = "x"' in ran.out
    assert edge.asked[0].body == {"job": JOB | {"namespace": "own"}, "operation": "TRIGGER", "policy": POLICY}


def test_the_account_of_decisions_is_listed_as_chosen(ctl: Ctl, edge: FakeEdge) -> None:
    decision = {
        "time": "2026-11-01T00:00:00Z",
        "job_id": "a",
        "operation": "RUN",
        "outcome": "DENIED",
        "caller": "",
        "decision": DENIED,
    }
    edge.will(Answer(body={"decisions": [decision]}))
    flags = "--job a --policy p --outcome denied --outcome unreachable-denied --operation run --from 2026-11-01 -n 5"
    ran = ctl("policy", "decisions", *flags.split(), "--namespace", "team")
    assert f"2026-11-01 00:00:00.000Z  DENIED   RUN        a    the clock  {LINE}" in ran.out
    assert edge.asked[0].path == "/api/v1/namespaces/team/policy-decisions"
    assert edge.asked[0].query == {
        "job_id": ["a"],
        "policy_id": ["p"],
        "outcome": ["DENIED", "UNREACHABLE_DENIED"],
        "operation": ["RUN"],
        "from": ["2026-11-01T00:00:00Z"],
        "page_size": ["5"],
    }


def test_what_policies_refuse_is_told_rule_by_rule_with_what_stood_there(ctl: Ctl, edge: FakeEdge) -> None:
    missing = RESULT | {"rule_id": "team", "message": "tag it", "field": "tags.team"}
    missing.pop("actual_value")
    details = [
        {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "POLICY_VIOLATION"},
        {"@type": "type.googleapis.com/google.rpc.BadRequest", "field_violations": [{"field": "webhook.url"}]},
        {"@type": "type.googleapis.com/chronos.policy.v1.Decision", "violations": [RESULT, missing]},
    ]
    edge.will(Answer(status=403, body={"code": 7, "message": "refused", "details": details}))
    ran = ctl("job", "create", "-f", "-", stdin=yaml.safe_dump(JOB))
    assert ran.status == 1
    assert ran.err.splitlines()[:3] == [
        "Error: policies refuse it (403):",
        f"  {LINE}",
        "  https-only/team: tag it (tags.team is missing)",
    ]
    assert "chronosctl policy get POLICY" in ran.err


def test_what_policies_warn_of_is_told_beside_the_answer(ctl: Ctl, edge: FakeEdge) -> None:
    header = json.dumps(["https-only/url: use https", "\x1b[2Jteams/team: tag it"])
    edge.will(Answer(body=JOB, headers={"chronos-policy-warnings": header}))
    ran = ctl("job", "create", "-f", "-", "-o", "json", stdin=yaml.safe_dump(JOB))
    assert (ran.status, json.loads(ran.out)) == (0, JOB)
    assert ran.err.splitlines() == [
        "Warning: https-only/url: use https",
        "Warning: \N{REPLACEMENT CHARACTER}[2Jteams/team: tag it",
    ]


def test_a_header_that_holds_no_warnings_is_left_alone(ctl: Ctl, edge: FakeEdge) -> None:
    edge.will(Answer(body=JOB, headers={"chronos-policy-warnings": "{"}))
    assert (ctl("job", "get", "a", "-o", "json").status, ctl("job", "get", "a").err) == (0, "")


def test_a_long_value_is_cut(ctl: Ctl, edge: FakeEdge) -> None:
    long = DENIED | {"violations": [RESULT | {"actual_value": "x" * 5000}]}
    edge.will(Answer(body=long))
    assert len(ctl("policy", "evaluate", "-f", "-", stdin=yaml.safe_dump(JOB)).out) < 1000


@pytest.mark.parametrize(
    "arguments",
    [
        "dry-run",
        "dry-run a -f -",
        "dry-run a --operation explode",
        "decisions --outcome maybe",
        "apply -f -",
        "rollback a 0",
        "evaluate",
    ],
)
def test_wrong_usage_exits_with_2_and_calls_nobody(ctl: Ctl, edge: FakeEdge, arguments: str) -> None:
    ran = ctl("policy", *arguments.split(), stdin="name: no id\nrules: []\n")
    assert (ran.status, edge.asked) == (2, [])
