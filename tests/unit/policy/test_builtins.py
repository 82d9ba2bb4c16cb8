"""The policies that are shipped: they compile, each of their own tests comes true, and they go into etcd once."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from chronos.policy.v1 import policy_pb2

from services.policy.adapters.etcd_policies import EtcdPolicyStore
from services.policy.adapters.shipped_files import FOLDER, shipped_policies
from services.policy.convert import document_from
from services.policy.domain.compiled import compile_policy
from services.policy.domain.documents import policy_from, question_from
from services.policy.domain.judging import Decision, PolicySet
from services.policy.domain.policy import Action, Type
from services.policy.policies import Policies
from services.policy.reading import read_policy
from services.policy.shipped import ship
from tests.fakes.clock import FakeClock
from tests.fakes.etcd import FakeEtcd

Policy = policy_pb2.Policy
FILES = sorted(FOLDER.glob("*.yaml"))
IDS = {
    "builtin-https-only", "builtin-naming-convention", "builtin-timeout-limits", "builtin-retry-limits",
    "builtin-webhook-allowlist", "builtin-schedule-frequency", "builtin-tag-requirements", "builtin-freeze-window",
    "builtin-freeze-calendar", "builtin-owner-required", "builtin-private-targets", "builtin-blast-radius",
}  # fmt: skip
ENABLED = {"builtin-naming-convention", "builtin-retry-limits", "builtin-schedule-frequency"}
OF_TARGETS = {"builtin-https-only", "builtin-webhook-allowlist", "builtin-private-targets"}


def document(path: Path) -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load(path.read_text())
    return read


CASES = [(path, case) for path in FILES for case in document(path)["tests"]]


def judged(path: Path, case: dict[str, Any]) -> Decision:
    policy = document(path)
    del policy["tests"]
    question = {key: value for key, value in case.items() if key not in ("name", "expect", "rules")}
    alone = PolicySet([compile_policy(policy_from({**policy, "enabled": True}))])
    return alone.judge(question_from(question)).decision


@pytest.mark.parametrize(("path", "case"), CASES, ids=lambda part: getattr(part, "stem", None) or part["name"])
def test_a_builtin_says_what_its_file_expects(path: Path, case: dict[str, Any]) -> None:
    decision = judged(path, case)
    said = "denied" if decision.violations else "warned" if decision.warnings else "allowed"
    assert said == case["expect"], decision
    spoke = {found.rule_id for found in (*decision.violations, *decision.warnings)}
    assert spoke == set(case.get("rules", spoke))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_each_rule_of_a_builtin_is_seen_to_hold_and_not_to_hold(path: Path) -> None:
    decisions = [judged(path, case) for case in document(path)["tests"]]
    spoke = {found.rule_id for one in decisions for found in (*one.violations, *one.warnings)}
    assert spoke == {rule["id"] for rule in document(path)["rules"]}
    assert any(not one.violations and not one.warnings for one in decisions)


def test_the_twelve_are_there_under_the_names_that_the_design_gives_them() -> None:
    assert {policy.id for policy in shipped_policies()} == IDS
    assert len({policy.name for policy in shipped_policies()}) == len(IDS)


def test_at_first_only_three_judge_and_they_only_warn() -> None:
    enabled = [policy_from(document_from(policy)) for policy in shipped_policies() if policy.enabled]
    assert {policy.id for policy in enabled} == ENABLED
    assert {policy.action for policy in enabled} == {Action.WARN}
    assert {rule.action for policy in enabled for rule in policy.rules} == {None}
    assert {policy.type for policy in enabled} == {Type.JOB}


def test_no_builtin_keeps_anybody_from_deleting_a_job() -> None:
    for policy in shipped_policies():
        if policy.type == Policy.JOB:
            assert policy.operations, policy.id
            assert Policy.DELETE not in policy.operations, policy.id


@pytest.mark.parametrize(
    "target",
    [{"grpc": {"address": "10.0.0.1:1"}}, {"kafka": {"topic": "a"}}, {"nats": {"subject": "a"}},
     {"rabbitmq": {"queue": "a"}}, {"websocket": {"client_name": "a"}}],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize(
    "path", [path for path in FILES if document(path)["id"] in OF_TARGETS], ids=lambda path: path.stem
)
def test_rules_for_webhooks_do_not_hit_other_targets(path: Path, target: dict[str, Any]) -> None:
    decision = judged(path, {"operation": "CREATE", "job": {"name": "a", **target}})
    assert decision.is_allowed


def test_what_is_shipped_is_stored_as_it_is_written() -> None:
    for policy in shipped_policies():
        assert policy == read_policy(policy).policy, policy.id


async def test_replicas_that_start_at_once_ship_each_policy_once() -> None:
    etcd, clock = FakeEtcd(), FakeClock()
    replicas = [Policies(EtcdPolicyStore(etcd.another_client()), clock, max_policies=20) for _ in range(3)]
    async with asyncio.TaskGroup() as group:
        for policies in replicas:
            group.create_task(ship(shipped_policies(), policies, clock))
    found, _ = await replicas[0].list(size=100, token="")
    assert {policy.id for policy in found} == IDS
    assert {(policy.version, policy.updated_by) for policy in found} == {(1, "chronos")}


async def test_a_name_that_somebody_took_leaves_a_shipped_policy_out() -> None:
    etcd, clock = FakeEtcd(), FakeClock()
    policies = Policies(EtcdPolicyStore(etcd), clock, max_policies=20)
    taken = shipped_policies()[0]
    taken.id = "mine"
    await policies.create(taken, validate_only=False, author="k1")
    await ship(shipped_policies(), policies, clock)
    found, _ = await policies.list(size=100, token="")
    assert {policy.id for policy in found} == {"mine", *IDS} - {shipped_policies()[0].id}


async def test_an_etcd_that_is_away_is_waited_for() -> None:
    etcd, clock = FakeEtcd(), FakeClock()
    policies = Policies(EtcdPolicyStore(etcd), clock, max_policies=20)
    etcd.is_away = True
    async with asyncio.TaskGroup() as group:
        shipping = group.create_task(ship(shipped_policies(), policies, clock))
        await clock.advance(timedelta(seconds=3))
        assert not shipping.done()
        etcd.is_away = False
        etcd.lose_answers(1)
        while not shipping.done():
            await clock.advance(timedelta(seconds=1))
    found, _ = await policies.list(size=100, token="")
    assert len(found) == len(IDS)
