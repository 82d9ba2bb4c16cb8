"""What policies say before each run."""

from pathlib import Path

import pytest
import yaml
from chronos.policy.v1 import decision_pb2, policy_pb2

from services.policy.convert import answer_from, question_from
from services.policy.domain.compiled import compile_policy
from services.policy.domain.documents import policy_from
from services.policy.domain.judging import PolicySet
from services.scheduler.policies.run_gate import BATCH
from tests.eventually import eventually
from tests.fakes.firing import SECOND, SHARD, START, Bench, Execution, identity_at, ids, stored, trigger
from tests.fakes.policed import Policed
from tests.fakes.policies import allow, deny, rule_result, warn

Decision = decision_pb2.Decision
RUN = policy_pb2.Policy.RUN
PROMISED = "018bcfe5-6800-845c-acb2-5c033444737c"
ONCE = "1 0 0 1 1 *"
FREEZE = Path(__file__).parents[2] / "services/policy/builtins/freeze_window.yaml"


@pytest.fixture
def bench() -> Policed:
    return Policed()


def freeze_window(begins: str, ends: str) -> PolicySet:
    """The shipped policy of that name."""
    document = yaml.safe_load(FREEZE.read_text())
    del document["tests"]
    document |= {"enabled": True, "parameters": {"from": begins, "until": ends}}
    return PolicySet([compile_policy(policy_from(document))])


async def test_nobody_is_asked_where_no_policy_applies() -> None:
    bench = Bench()  # NoPolicies fails when somebody is asked
    link = bench.link()
    async with bench.owning(stored()):
        await bench.clock.advance(2 * SECOND)
        assert ids(link.sent) == [identity_at(1), identity_at(2)]


async def test_a_policy_for_other_tags_is_not_asked(bench: Policed) -> None:
    bench.book.tagged = {"team": "billing"}
    bench.policies.judge = deny
    link = bench.link()
    async with bench.owning(stored("a", ONCE, tags={"team": "search"}), stored("b", ONCE, tags={"team": "billing"})):
        await bench.clock.advance(2 * SECOND)
        assert ids(link.sent) == [identity_at(1, name="a")]
        assert [note.id for note in bench.noted()] == [identity_at(1, name="b")]


async def test_a_run_that_is_allowed_begins(bench: Policed) -> None:
    link = bench.link()
    async with bench.owning(stored(schedule=ONCE)):
        await bench.clock.advance(SECOND)
        assert ids(link.sent) == [identity_at(1)]
        assert bench.outcomes() == []


async def test_a_run_that_is_denied_is_skipped_with_the_rule_and_what_stood_there(bench: Policed) -> None:
    found = rule_result("freeze", "weekends", message="nothing runs at weekends", field="now.weekday")
    found.actual_value.string_value = "saturday"
    bench.policies.judge = lambda question: Decision(violations=[found])
    link = bench.link()
    async with bench.owning(stored(schedule=ONCE)):
        await bench.clock.advance(2 * SECOND)
        (skipped,) = bench.noted()
        assert (skipped.id, skipped.status, skipped.reason_code) == (
            identity_at(1),
            Execution.SKIPPED,
            Execution.POLICY,
        )
        assert skipped.reason == 'freeze/weekends: nothing runs at weekends (now.weekday is "saturday")'
        assert link.sent == []
        assert bench.outcomes() == [(identity_at(1), "DENIED")]
        assert bench.quotas.running == 0


async def test_a_denied_run_lets_the_watermark_go_on_once_it_is_recorded(bench: Policed) -> None:
    bench.policies.judge = deny
    async with bench.owning(stored()):
        await bench.clock.advance(4 * SECOND)
        assert bench.watermark() >= START + 2 * SECOND


async def test_a_warning_lets_the_run_begin_and_is_accounted_for(bench: Policed) -> None:
    bench.policies.judge = warn
    link = bench.link()
    async with bench.owning(stored()):
        await bench.clock.advance(2 * SECOND)
        assert ids(link.sent) == [identity_at(1), identity_at(2)]
        assert bench.outcomes() == [(identity_at(1), "WARNED"), (identity_at(2), "WARNED")]
        (first, _) = bench.accounts.decisions
        assert (first.operation, first.policy_revision, first.decision.warnings[0].rule_id) == (RUN, 7, "prefix")


async def test_a_decision_that_stands_is_not_asked_for_again(bench: Policed) -> None:
    bench.policies.is_lasting = True
    link = bench.link()
    async with bench.owning(stored()):
        await bench.clock.advance(3 * SECOND)
        bench.policies.is_away = True
        await bench.clock.advance(3 * SECOND)
        assert ids(link.sent) == [identity_at(second) for second in range(1, 7)]
        assert len(bench.policies.asked) == 1


async def test_a_denial_that_stands_holds_at_once_and_is_accounted_for_each_time(bench: Policed) -> None:
    bench.policies.is_lasting = True
    bench.policies.judge = deny
    async with bench.owning(stored()):
        await bench.clock.advance(3 * SECOND)
        assert len(bench.policies.asked) == 1
        assert bench.outcomes() == [(identity_at(second), "DENIED") for second in (1, 2, 3)]


async def test_a_warning_that_stands_is_accounted_for_once(bench: Policed) -> None:
    bench.policies.is_lasting = True
    bench.policies.judge = warn
    link = bench.link()
    async with bench.owning(stored()):
        await bench.clock.advance(3 * SECOND)
        assert len(link.sent) == 3
        assert bench.outcomes() == [(identity_at(1), "WARNED")]


async def test_a_warning_that_stands_is_accounted_for_once_for_all_runs_that_waited_for_it(bench: Policed) -> None:
    bench.policies.is_lasting = bench.policies.is_away = True
    bench.policies.judge = warn
    link = bench.link()
    async with bench.owning(stored()):
        await bench.clock.advance(3 * SECOND)
        bench.policies.is_away = False
        await bench.clock.advance(SECOND)
        assert len(link.sent) == 4
        assert len(bench.accounts.decisions) == 1


async def test_a_changed_policy_is_asked_anew(bench: Policed) -> None:
    bench.policies.is_lasting = True
    link = bench.link()
    async with bench.owning(stored()):
        await bench.clock.advance(SECOND)
        bench.book.revision = bench.policies.revision = 8
        bench.policies.judge = deny
        await bench.clock.advance(SECOND)
        assert ids(link.sent) == [identity_at(1)]


async def test_a_changed_job_is_asked_about_anew(bench: Policed) -> None:
    bench.policies.is_lasting = True
    async with bench.owning(stored()):
        await bench.clock.advance(SECOND)
        changed = stored(version=2)
        changed.effective_at.FromDatetime(bench.clock.now())
        bench.change(changed)
        await bench.clock.advance(SECOND)
        assert len(bench.policies.asked) == 2


async def test_who_asked_for_a_run_is_told_and_a_decision_about_others_does_not_hold(bench: Policed) -> None:
    bench.policies.is_lasting = True
    bench.policies.judge = lambda question: deny(question) if question.caller == "intern" else allow(question)
    link = bench.link()
    async with bench.owning(stored(schedule=ONCE)):
        await bench.clock.advance(SECOND)
        bench.order(triggers=[trigger(PROMISED, actor="intern")])
        await bench.clock.advance(SECOND)
        assert ids(link.sent) == [identity_at(1)]
        assert [(each.execution_id, each.caller) for each in bench.accounts.decisions] == [(PROMISED, "intern")]


async def test_a_promised_run_that_is_denied_is_skipped_and_its_promise_forgotten(bench: Policed) -> None:
    bench.policies.judge = deny
    async with bench.owning(stored(schedule="@yearly")):
        bench.order(triggers=[trigger(PROMISED)])
        await bench.clock.advance(SECOND)
        assert [(note.id, note.reason_code) for note in bench.noted()] == [(PROMISED, Execution.POLICY)]
        assert bench.settled.settled == [(SHARD, PROMISED)]


async def test_a_run_about_which_nobody_can_be_asked_is_skipped_after_ten_seconds(bench: Policed) -> None:
    bench.policies.is_away = True
    link = bench.link()
    async with bench.owning(stored(schedule=ONCE)):
        await bench.clock.advance(10 * SECOND)
        assert bench.noted() == []
        await bench.clock.advance(2 * SECOND)
        (skipped,) = bench.noted()
        assert skipped.reason_code == Execution.POLICY
        assert "policies could not be asked for 10 s (no policy service is there)" in skipped.reason
        assert link.sent == []
        assert bench.outcomes() == [(identity_at(1), "UNREACHABLE_DENIED")]


async def test_a_run_goes_on_unjudged_where_the_namespace_says_so(bench: Policed) -> None:
    bench.policies.is_away = True
    bench.namespaces.unjudged.add("default")
    link = bench.link()
    async with bench.owning(stored(schedule=ONCE)):
        await bench.clock.advance(12 * SECOND)
        assert ids(link.sent) == [identity_at(1)]
        assert bench.outcomes() == [(identity_at(1), "UNREACHABLE_ALLOWED")]


async def test_a_run_that_is_allowed_is_accounted_for_where_that_is_asked_for(bench: Policed) -> None:
    bench.accounts.takes_allowed = True
    link = bench.link()
    async with bench.owning(stored(schedule=ONCE)):
        await bench.clock.advance(2 * SECOND)
        assert ids(link.sent) == [identity_at(1)]
        assert bench.outcomes() == [(identity_at(1), "ALLOWED")]


async def test_a_run_that_policies_can_only_warn_of_waits_a_second(bench: Policed) -> None:
    bench.policies.is_away = bench.book.is_harmless = True
    link = bench.link()
    async with bench.owning(stored(schedule="1 0 0 1 1 *")):
        await bench.clock.advance(1.9 * SECOND)
        assert link.sent == []
        await bench.clock.advance(0.5 * SECOND)
        assert len(link.sent) == 1
        assert bench.outcomes() == [(identity_at(1), "UNREACHABLE_ALLOWED")]


async def test_a_call_that_hangs_does_not_outlast_the_patience(bench: Policed) -> None:
    bench.policies.goes_on.clear()
    async with bench.owning(stored(schedule=ONCE)):
        await bench.clock.advance(12 * SECOND)
        assert [note.reason_code for note in bench.noted()] == [Execution.POLICY]
        bench.policies.goes_on.set()
        await bench.clock.advance(SECOND)
        assert bench.outcomes() == [(identity_at(1), "UNREACHABLE_DENIED")]


async def test_runs_go_on_soon_after_policies_are_back(bench: Policed) -> None:
    bench.policies.is_away = True
    link = bench.link()
    async with bench.owning(stored(schedule=ONCE)):
        await bench.clock.advance(5 * SECOND)
        bench.policies.is_away = False
        await bench.clock.advance(SECOND)
        assert ids(link.sent) == [identity_at(1)]


async def test_policies_that_are_gone_by_then_hold_nobody(bench: Policed) -> None:
    bench.policies.is_away = True
    link = bench.link()
    async with bench.owning(stored(schedule=ONCE)):
        await bench.clock.advance(2 * SECOND)
        bench.book.applies.clear()
        await bench.clock.advance(SECOND)
        assert ids(link.sent) == [identity_at(1)]


async def test_many_runs_are_asked_about_in_few_calls(bench: Policed) -> None:
    jobs = [stored(f"job-{number}", ONCE) for number in range(BATCH + 50)]
    link = bench.link()
    async with bench.owning(*jobs):
        await bench.clock.advance(2 * SECOND)
        assert len(link.sent) == BATCH + 50
        assert len(bench.policies.batches) <= 4


async def test_what_is_too_much_for_one_call_goes_in_smaller_ones(bench: Policed) -> None:
    bench.policies.most = 10
    jobs = [stored(f"job-{number}", ONCE) for number in range(60)]
    link = bench.link()
    async with bench.owning(*jobs):
        await bench.clock.advance(8 * SECOND)
        assert len(link.sent) == 60
        assert bench.noted() == []


async def test_rules_see_the_version_of_the_job_that_is_to_run_as_rest_shows_it(bench: Policed) -> None:
    job = stored(schedule=ONCE, description="pays", tags={"team": "billing"})
    bench.keep(job)
    async with bench.owning(job):
        await bench.clock.advance(SECOND)
        (question,) = bench.policies.asked
        fields = question.job.fields
        assert fields["description"].string_value == "pays"
        assert fields["webhook"].struct_value.fields["url"].string_value == "https://example.com"
        assert (question.operation, question.namespace, question.extent.runs) == (RUN, "default", 1)
        assert question.time.ToDatetime(START.tzinfo) == START + SECOND


async def test_of_a_version_that_is_not_kept_rules_see_what_is_delivered_and_its_tags(bench: Policed) -> None:
    async with bench.owning(stored(schedule=ONCE, tags={"team": "billing"})):
        await bench.clock.advance(SECOND)
        (question,) = bench.policies.asked
        fields = question.job.fields
        assert fields["webhook"].struct_value.fields["url"].string_value == "https://example.com"
        assert fields["tags"].struct_value.fields["team"].string_value == "billing"


async def test_what_a_rule_looks_at_is_told_anew_each_time_and_the_job_is_read_once(bench: Policed) -> None:
    bench.book.applies = {RUN: frozenset({"now", "timing", "calendars"})}
    job = stored()
    bench.keep(job)
    async with bench.owning(job):
        await bench.clock.advance(SECOND)
        await eventually(lambda: bool(bench.policies.asked))  # how often it fires is looked up in a thread
        bench.store.versions.clear()
        await bench.clock.advance(2 * SECOND)
        seconds = [question.time.seconds - int(START.timestamp()) for question in bench.policies.asked]
        assert seconds == [1, 2, 3]
        assert {question.timing.shortest_interval.seconds for question in bench.policies.asked} == {1}
        assert all(question.job.fields["schedule"].string_value for question in bench.policies.asked)


async def test_where_the_target_is_is_told_when_a_rule_looks_at_it(bench: Policed) -> None:
    bench.book.applies = {RUN: frozenset({"endpoint"})}
    bench.hosts.known["example.com"] = "10.1.2.3"
    job = stored(schedule=ONCE)
    bench.keep(job)
    async with bench.owning(job):
        await bench.clock.advance(SECOND)
        (question,) = bench.policies.asked
        assert (list(question.endpoint.addresses), question.endpoint.is_private) == (["10.1.2.3"], True)


async def test_a_freeze_window_stops_runs_and_lets_them_begin_again_on_time_and_makes_up_for_none(
    bench: Policed,
) -> None:
    freeze = freeze_window("2026-01-01T00:00:02Z", "2026-01-01T00:00:04Z")
    bench.policies.judge = lambda question: answer_from(freeze.judge(question_from(question))).decision
    link = bench.link()
    async with bench.owning(stored("a"), stored("b", tags={"freeze": "exempt"})):
        await bench.clock.advance(6 * SECOND)
        sent = ids(link.sent)
        assert [second for second in range(1, 7) if identity_at(second, name="a") in sent] == [1, 4, 5, 6]
        assert [second for second in range(1, 7) if identity_at(second, name="b") in sent] == [1, 2, 3, 4, 5, 6]
        assert [note.id for note in bench.noted()] == [identity_at(2), identity_at(3)]
