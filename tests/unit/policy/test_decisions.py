import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from chronos.policy.v1 import decision_service_pb2, policy_pb2
from google.protobuf.json_format import MessageToDict, ParseDict
from prometheus_client import REGISTRY

from libs.faults import InvalidArgument, Unavailable
from services.policy import metrics
from services.policy.convert import answer_from, compiled_from, question_from, value_from
from services.policy.decisions import Decisions
from services.policy.domain.compiled import CompiledPolicy
from services.policy.domain.judging import PolicySet, Question
from services.policy.domain.policy import Operation
from services.policy.ports import Edition
from services.policy.reading import read_policy
from tests.fakes.clock import FakeClock

SLICE = timedelta(milliseconds=5)


class Book:
    """The policies that a test puts there."""

    def __init__(self, *policies: CompiledPolicy, revision: int = 7) -> None:
        self.edition: Edition | None = Edition(revision=revision, policies=PolicySet(policies))


class TurningClock(FakeClock):
    """Each look at it takes 3 ms. Counts the turns that others get."""

    def __init__(self) -> None:
        super().__init__()
        self.turns = 0
        self.first_turn = asyncio.Event()

    def monotonic(self) -> float:
        self._elapsed += 0.003
        return self._elapsed

    async def sleep(self, span: timedelta) -> None:
        self.turns += 1
        self.first_turn.set()
        await super().sleep(span)


def policy(name: str, condition: dict[str, Any], **fields: Any) -> policy_pb2.Policy:
    document = {"name": name, "rules": [{"name": "rule", "condition": condition}], **fields}
    return ParseDict(document, policy_pb2.Policy())


def compiled(name: str, condition: dict[str, Any], **fields: Any) -> CompiledPolicy:
    return compiled_from(read_policy(policy(name, condition, **fields)).policy)


def message(**fields: Any) -> decision_service_pb2.Question:
    document = {"operation": "CREATE", "namespace": "default", "time": "2026-03-01T09:00:00Z", **fields}
    return ParseDict(document, decision_service_pb2.Question())


def question(**job: Any) -> Question:
    return question_from(message(job=job))


def decisions(*policies: CompiledPolicy) -> Decisions:
    return Decisions(Book(*policies), FakeClock(), slice_length=SLICE)


def counted(policy_id: str, outcome: str) -> float:
    return REGISTRY.get_sample_value("chronos_policy_decisions_total", {"policy": policy_id, "outcome": outcome}) or 0.0


TEAM = {"field": "tags.team", "operator": "equals", "value": "a"}


async def test_each_question_gets_its_answer_and_all_one_revision() -> None:
    decided = await decisions(compiled("team", TEAM)).decide(
        [question(tags={"team": "a"}), question(tags={"team": "b"}), question(tags={"team": "a"})], None
    )
    assert [one.decision.is_allowed for one in decided.judgements] == [True, False, True]
    assert decided.revision == 7


async def test_without_policies_everything_is_allowed() -> None:
    decided = await decisions().decide([question()], None)
    assert decided.judgements[0].decision.is_allowed


async def test_nothing_is_judged_before_the_policies_were_read() -> None:
    book = Book()
    book.edition = None
    with pytest.raises(Unavailable, match="not been read yet"):
        await Decisions(book, FakeClock(), slice_length=SLICE).decide([question()], None)


async def test_a_change_in_between_does_not_split_a_batch() -> None:
    book, clock = Book(compiled("team", TEAM)), TurningClock()
    judge = Decisions(book, clock, slice_length=SLICE)
    async with asyncio.TaskGroup() as group:
        deciding = group.create_task(judge.decide([question(tags={"team": "b"})] * 20, None))
        await clock.first_turn.wait()
        assert not deciding.done()
        book.edition = Edition(revision=8, policies=PolicySet([]))
    decided = deciding.result()
    assert decided.revision == 7
    assert not any(one.decision.is_allowed for one in decided.judgements)


async def test_a_long_batch_lets_others_have_their_turn() -> None:
    clock = TurningClock()
    await Decisions(Book(), clock, slice_length=SLICE).decide([question()] * 100, None)
    assert clock.turns >= 30


async def test_a_draft_judges_alone_whether_enabled_or_not() -> None:
    draft = policy("Draft", {"field": "name", "operator": "equals", "value": "a"}, enabled=False, version=3)
    decided = await decisions(compiled("team", TEAM)).decide([question(name="b")], draft)
    (violation,) = decided.judgements[0].decision.violations
    assert (violation.policy_id, violation.policy_version, violation.rule_id) == ("draft", 3, "rule")


async def test_a_draft_that_means_nothing_is_refused_with_paths() -> None:
    with pytest.raises(InvalidArgument) as caught:
        await decisions().decide(
            [question()], policy("Draft", {"field": "name", "operator": "sounds_like", "value": 1})
        )
    assert [found.field for found in caught.value.violations] == ["draft.rules[0].condition.operator"]


async def test_policies_are_counted_by_what_they_did_and_drafts_are_not() -> None:
    judge = decisions(
        compiled("counted deny", TEAM),
        compiled("counted warn", TEAM, action="WARN"),
        compiled("counted audit", TEAM, action="AUDIT"),
    )
    await judge.decide([question(tags={"team": "b"}), question(tags={"team": "a"})], None)
    await judge.decide([question(name="b")], policy("counted draft", {"field": "name", "operator": "eq", "value": "a"}))
    assert counted("counted-deny", "denied") == 1
    assert counted("counted-warn", "warned") == 1
    assert counted("counted-audit", "audited") == 1
    assert counted("counted-draft", "denied") == 0


async def test_a_rule_that_allows_is_counted_and_what_is_gone_is_forgotten() -> None:
    judge = decisions(compiled("counted allow", TEAM, action="ALLOW", priority=5), compiled("counted late", TEAM))
    await judge.decide([question(tags={"team": "a"})], None)
    assert counted("counted-allow", "allowed") == 1
    metrics.forget({"counted-allow", "never-there"})
    assert counted("counted-allow", "allowed") == 0


def test_facts_are_what_was_told() -> None:
    read = question_from(
        message(
            job={
                "name": "a",
                "priority": 3,
                "ratio": 0.5,
                "tags": {"a": "b"},
                "list": [1, None, True],
                "timezone": "Asia/Tokyo",
            },
            before={"name": "b"},
            caller="k1",
            permissions=["job:*"],
            timing={"shortest_interval": "90.500s", "runs_per_day": 5},
            endpoint={"hosts": ["a"], "addresses": ["10.0.0.1"], "is_private": True},
            load={"job_runs": 1, "namespace_runs": 2},
            extent={"jobs": 3, "runs": 4},
            calendars=["holidays"],
        )
    )
    assert read == Question(
        operation=Operation.CREATE,
        namespace="default",
        time=datetime(2026, 3, 1, 9, tzinfo=UTC),
        timezone="Asia/Tokyo",
        facts={
            "job": {
                "name": "a", "priority": 3, "ratio": 0.5, "tags": {"a": "b"}, "list": [1, None, True],
                "timezone": "Asia/Tokyo",
            },
            "before": {"name": "b"},
            "caller": {"id": "k1", "permissions": ["job:*"]},
            "timing": {"shortest_interval": "90.500s", "shortest_interval_seconds": 90.5, "runs_per_day": 5},
            "endpoint": {"hosts": ["a"], "addresses": ["10.0.0.1"], "is_private": True},
            "load": {"job_runs": 1, "namespace_runs": 2},
            "extent": {"jobs": 3, "runs": 4},
            "calendars": ["holidays"],
        },
    )  # fmt: skip
    assert isinstance(read.facts["job"]["priority"], int)  # type: ignore[index,call-overload]


def test_what_was_not_told_is_not_there() -> None:
    read = question_from(message())
    assert set(read.facts) == {"caller", "calendars"}
    assert read.timezone == ""
    assert set(question_from(message(timing={})).facts["timing"]) == {"runs_per_day"}  # type: ignore[arg-type]


def test_the_zone_of_a_job_that_goes_is_that_which_it_had() -> None:
    assert question_from(message(operation="DELETE", before={"timezone": "Asia/Tokyo"})).timezone == "Asia/Tokyo"


@pytest.mark.parametrize("plain", [None, True, 3, 0.5, "a", [], [1, [None]], {}, {"a": {"b": [{}]}}], ids=str)
def test_values_are_shown_as_they_are(plain: Any) -> None:
    assert MessageToDict(value_from(plain)) == plain


async def test_an_answer_tells_all_that_a_rule_said() -> None:
    one = compiled(
        "Team", {"field": "tags.team", "operator": "equals", "value": "a"}, severity="WARNING", timezone="Europe/Berlin"
    )
    decided = await decisions(one).decide([question(tags={"team": "b"})], None)
    shown = MessageToDict(answer_from(decided.judgements[0]), preserving_proto_field_name=True)
    (violation,) = shown["decision"]["violations"]
    assert violation.pop("message")
    assert violation == {
        "policy_id": "team", "policy_name": "Team", "policy_version": 1, "rule_id": "rule", "rule_name": "rule",
        "action": "DENY", "severity": "WARNING", "field": "tags.team", "actual_value": "b",
    }  # fmt: skip
    assert shown["is_lasting"]
    assert "allowed" not in shown["decision"]


async def test_whole_numbers_of_a_policy_are_whole_where_it_is_shown_and_in_expressions() -> None:
    limit = {"not": {"field": "retry_policy.max_attempts", "operator": "gt", "parameter": "most"}}
    sum_of = {"expression": "job.retry_policy.max_attempts + params.most == 12"}
    judge = decisions(compiled("A", limit, parameters={"most": 5}), compiled("B", sum_of, parameters={"most": 5}))
    (decided,) = (await judge.decide([question(retry_policy={"max_attempts": 7})], None)).judgements
    (violation,) = decided.decision.violations
    assert violation.message.endswith("more than 5")


async def test_what_was_not_there_has_no_value_in_the_answer() -> None:
    decided = await decisions(compiled("Team", TEAM)).decide([question()], None)
    answer = answer_from(decided.judgements[0])
    assert not answer.decision.violations[0].HasField("actual_value")
    assert not answer.decision.HasField("allowed_by")
