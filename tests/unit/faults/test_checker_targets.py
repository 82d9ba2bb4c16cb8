"""Planted violations: runs that never came, came late, or are explained with a lie. And what must pass."""

from dataclasses import replace

import pytest

from tests.faults.history import CallKind, Concurrency, FaultSpan, Guarantee, Limits, MissedPolicy, Outcome
from tests.faults.verdict import ViolationKind
from tests.unit.faults.stories import JOB, Story, add_orderly, at, orderly, with_rules

Kind = ViolationKind


def outage(policy: MissedPolicy = MissedPolicy.EXECUTE_ONE, **rules: object) -> Story:
    """All is away from 15 s to 95 s; grace is 20 s. Runs from 20 to 90 are not there; later ones are."""
    story = orderly(with_rules(missed=policy, grace_us=20_000_000, **rules), until=200)
    story.fault(15, 95, "partition")
    for due in range(20, 100, 10):
        story.forget(due)
    return story


def test_an_orderly_history_passes() -> None:
    verdict = orderly().verdict()
    assert verdict.is_kept
    assert (verdict.counts.targets, verdict.counts.delivered, verdict.counts.optional_targets) == (11, 11, 0)


def test_a_run_that_never_came_is_missed() -> None:
    story = orderly()
    story.forget(50)
    (violation,) = story.verdict().violations
    assert (violation.kind, violation.job, violation.at_us) == (Kind.MISSED, JOB, at(50))


def test_a_run_that_never_came_is_missed_also_inside_a_fault() -> None:
    story = orderly()
    story.fault(45, 55)
    story.forget(50)
    assert story.kinds() == [Kind.MISSED]


def test_a_job_that_never_runs_again_is_missed_each_time() -> None:
    story = orderly()
    story.fault(45, 55)
    for due in range(50, 120, 10):
        story.forget(due)
    assert story.verdict().by_kind() == {Kind.MISSED: 7}


def test_runs_due_after_the_judged_time_are_not_asked_for() -> None:
    story = orderly()
    story.until = 100
    story.forget(110)
    assert story.verdict().is_kept


def test_a_run_without_a_good_answer_and_without_a_record_is_missed() -> None:
    story = orderly()
    story.forget(50)
    story.run(50, answers=(503,), status="FAILED")
    story.records.pop()
    assert Kind.MISSED in story.kinds()


def test_a_run_later_than_epsilon_is_late() -> None:
    story = orderly()
    story.forget(50)
    story.run(50, late=1.5)
    assert story.kinds() == [Kind.LATE]
    assert story.kinds(Limits(epsilon_us=2_000_000)) == []


def test_a_fault_and_its_recovery_excuse_a_late_run() -> None:
    story = orderly()
    story.fault(48, 52)
    story.forget(50)
    story.run(50, late=7.5)  # 57.5: the fault ends at 52, recovery takes 5, epsilon is 1
    assert story.kinds() == []


def test_a_run_later_than_the_recovery_is_late() -> None:
    story = orderly()
    story.fault(48, 52)
    story.forget(50)
    story.run(50, late=8.5)
    assert story.kinds() == [Kind.LATE]


def test_a_fault_that_begins_after_the_run_was_late_is_no_excuse() -> None:
    story = orderly()
    story.fault(52, 53)
    story.forget(50)
    story.run(50, late=2.5)
    assert story.kinds() == [Kind.LATE]


def test_a_fault_may_say_what_it_takes_to_recover() -> None:
    story = orderly()
    story.faults.append(FaultSpan(kind="receiver", nodes=(), began_us=at(48), ended_us=at(52), recovery_us=30_000_000))
    story.forget(50)
    story.run(50, late=28)
    assert story.kinds() == []


@pytest.mark.parametrize(("failures", "kinds"), [(5, []), (4, [Kind.LATE])])
def test_a_first_request_that_is_a_later_attempt_may_have_been_held_back_by_a_breaker(
    failures: int, kinds: list[Kind]
) -> None:
    story = orderly(with_rules(max_attempts=failures))
    for due in (40, 50):
        story.forget(due)
    story.run(40, answers=(503,) * failures, status="FAILED")
    story.run(50, late=3)
    story.change_arrival(50, lambda arrival: replace(arrival, attempt=2))
    assert story.kinds() == kinds


def test_a_later_attempt_may_come_when_the_retry_policy_says_so_after_a_fault() -> None:
    story = orderly()
    story.fault(49, 51, "receiver refuses")
    story.forget(50)
    story.run(50, late=9)
    assert story.kinds() == [Kind.LATE]
    story.change_arrival(50, lambda arrival: replace(arrival, attempt=2))
    assert story.kinds() == []


def queued(late: float, concurrency: Concurrency = Concurrency.QUEUE) -> Story:
    """The run of 40 takes 15 s; the one of 50 comes `late`."""
    story = orderly(with_rules(concurrency=concurrency))
    for due in (40, 50):
        story.forget(due)
    story.run(40, takes=15)
    story.run(50, late=late)
    return story


def test_a_queued_run_may_wait_for_the_one_before() -> None:
    assert queued(5.1).kinds() == []


def test_a_queued_run_that_waits_longer_than_that_is_late() -> None:
    assert queued(7).kinds() == [Kind.LATE]


def test_a_run_that_may_overlap_waits_for_none() -> None:
    assert queued(5.1, Concurrency.ALLOW).kinds() == [Kind.LATE]


def test_an_outage_beyond_the_grace_period_with_the_latest_made_up_passes() -> None:
    story = outage()
    story.record(20, "SKIPPED", "MISSED", completed=97, until=60, count=5)
    for due in (70, 80, 90):
        story.run(due, late=97 - due + due / 1000)
    assert story.kinds() == []
    assert story.verdict().counts.reasons == (("MISSED", 5),)


def test_the_latest_missed_run_may_not_be_left_out() -> None:
    story = outage()
    story.record(20, "SKIPPED", "MISSED", completed=97, until=70, count=6)
    for due in (80, 90):
        story.run(due, late=97 - due + due / 1000)
    assert story.kinds() == [Kind.UNEXPLAINED]


def test_ignore_leaves_all_out_that_are_older_than_the_grace_period() -> None:
    story = outage(MissedPolicy.IGNORE)
    story.record(20, "SKIPPED", "MISSED", completed=97, until=70, count=6)
    for due in (80, 90):
        story.run(due, late=97 - due + due / 1000)
    assert story.kinds() == []


def test_what_the_grace_period_covers_may_not_be_left_out() -> None:
    story = outage(MissedPolicy.IGNORE)
    story.record(20, "SKIPPED", "MISSED", completed=97, until=90, count=8)
    assert story.kinds() == [Kind.UNEXPLAINED]


def test_execute_all_makes_up_for_each_paced_one_after_the_other() -> None:
    story = outage(MissedPolicy.EXECUTE_ALL)
    for number, due in enumerate(range(20, 100, 10)):
        story.run(due, late=97 + 1.1 * number - due)
    assert story.kinds() == []


def test_execute_all_leaves_none_out() -> None:
    story = outage(MissedPolicy.EXECUTE_ALL)
    story.record(20, "SKIPPED", "MISSED", completed=97, until=60, count=5)
    for due in (70, 80, 90):
        story.run(due, late=97 - due + due / 1000)
    assert story.kinds() == [Kind.UNEXPLAINED]


def test_execute_all_leaves_out_what_is_beyond_its_bounds() -> None:
    story = outage(MissedPolicy.EXECUTE_ALL, catch_up_max_runs=2)
    story.record(20, "SKIPPED", "MISSED", completed=97, until=50, count=4)
    for number, due in enumerate(range(60, 100, 10)):
        story.run(due, late=97 + 1.1 * number - due)
    assert story.kinds() == []


def test_missed_is_a_lie_where_nothing_was_broken() -> None:
    story = orderly()
    story.forget(50)
    story.record(50, "SKIPPED", "MISSED", completed=51)
    assert story.kinds() == [Kind.UNEXPLAINED]


def test_missed_is_a_lie_after_a_short_fault() -> None:
    story = orderly()
    story.fault(48, 52)
    story.forget(50)
    story.record(50, "SKIPPED", "MISSED", completed=53)
    assert story.kinds() == [Kind.UNEXPLAINED]


def test_overlap_is_true_while_another_run_was_under_way() -> None:
    story = orderly()
    for due in (40, 50):
        story.forget(due)
    story.run(40, takes=15)
    story.record(50, "SKIPPED", "OVERLAP", completed=50.01)
    assert story.kinds() == []
    assert story.verdict().counts.explained == 1


def test_overlap_is_a_lie_when_no_other_run_was_under_way() -> None:
    story = orderly()
    story.forget(50)
    story.record(50, "SKIPPED", "OVERLAP", completed=50.01)
    assert story.kinds() == [Kind.UNEXPLAINED]


def test_overlap_is_a_lie_for_a_job_whose_runs_may_overlap() -> None:
    story = queued(0.1, Concurrency.ALLOW)
    story.forget(50)
    story.record(50, "SKIPPED", "OVERLAP", completed=50.01)
    assert story.kinds() == [Kind.UNEXPLAINED]


def test_overlap_is_true_where_a_fault_hid_the_end_of_the_other_run() -> None:
    story = orderly()
    story.fault(42, 48)
    story.forget(50)
    story.forget(40)
    story.run(40, takes=3)
    story.record(50, "SKIPPED", "OVERLAP", completed=50.01)
    assert story.kinds() == []


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        ("SKIPPED", "PAUSED"),
        ("SKIPPED", "DELETED"),
        ("SKIPPED", "QUEUE_FULL"),
        ("CANCELLED", "REPLACED"),
        ("CANCELLED", "CANCELLED_BY_USER"),
        ("SKIPPED", "QUOTA"),
        ("SKIPPED", "CALENDAR"),
        ("SKIPPED", "DST"),
        ("SKIPPED", "REASON_UNSPECIFIED"),
        ("FAILED", "BREAKER_OPEN"),
        ("FAILED", "REASON_UNSPECIFIED"),
        ("LOST", "INTERRUPTED"),
    ],
)
def test_a_reason_without_a_cause_explains_nothing(status: str, reason: str) -> None:
    story = orderly()
    story.forget(50)
    story.record(50, status, reason, completed=50.5, attempts=3)
    assert Kind.UNEXPLAINED in story.kinds()


def test_reasons_that_a_history_does_not_show_can_be_trusted() -> None:
    story = orderly()
    story.forget(50)
    story.record(50, "SKIPPED", "QUOTA")
    assert story.kinds(Limits(trusted_reasons=frozenset({"QUOTA"}))) == []


def test_queue_full_is_true_when_so_many_wait() -> None:
    story = orderly(with_rules(concurrency=Concurrency.QUEUE, max_queued_runs=1))
    for due in (40, 50, 60):
        story.forget(due)
    story.run(40, takes=25)
    story.run(50, late=15.1)
    story.record(60, "SKIPPED", "QUEUE_FULL")
    assert story.kinds() == []


def test_replaced_is_true_when_a_newer_run_came() -> None:
    story = orderly(with_rules(concurrency=Concurrency.REPLACE))
    story.forget(50)
    story.run(50, answers=(0,), status="CANCELLED", takes=10)
    story.change_record(50, lambda record: replace(record, reason_code="REPLACED"))
    assert story.kinds() == []


def test_a_cancelled_run_is_explained_when_somebody_cancelled_it() -> None:
    story = orderly()
    story.forget(50)
    story.call(CallKind.CANCEL, 50, execution_id=f"{JOB}@50")
    story.record(50, "CANCELLED", "CANCELLED_BY_USER")
    assert story.kinds() == []


@pytest.mark.parametrize(("begin", "kinds"), [(49, []), (70, [Kind.UNEXPLAINED])])
def test_lost_is_true_near_a_fault_only(begin: float, kinds: list[Kind]) -> None:
    story = orderly(with_rules(guarantee=Guarantee.AT_MOST_ONCE))
    story.fault(begin, begin + 2)
    story.forget(50)
    story.record(50, "LOST", "INTERRUPTED", completed=52)
    assert story.kinds() == kinds


def test_lost_is_a_lie_for_a_job_of_the_other_guarantee() -> None:
    story = orderly()
    story.fault(49, 51)
    story.forget(50)
    story.record(50, "LOST", "INTERRUPTED", completed=52)
    assert story.kinds() == [Kind.UNEXPLAINED]


def test_an_open_breaker_is_true_after_failures_of_the_receiver() -> None:
    story = orderly(with_rules(max_attempts=5))
    for due in (40, 50):
        story.forget(due)
    story.run(40, answers=(503,) * 5, status="FAILED")
    story.record(50, "FAILED", "BREAKER_OPEN", attempts=5, completed=53)
    assert story.kinds() == []


def test_a_receiver_that_is_away_explains_a_failed_run() -> None:
    story = orderly()
    story.fault(49, 59, "receiver refuses")
    story.forget(50)
    story.record(50, "FAILED", attempts=3, completed=53)
    assert story.kinds() == []


def test_an_unsure_create_asks_for_nothing_and_allows_all() -> None:
    story = orderly()
    story.calls.clear()
    story.call(CallKind.CREATE, 0.5, rules=with_rules(), outcome=Outcome.UNKNOWN)
    story.forget(50)
    verdict = story.verdict()
    assert verdict.is_kept
    assert (verdict.counts.targets, verdict.counts.optional_targets) == (0, 12 - 1)


def test_many_jobs_are_judged_each_by_its_own() -> None:
    story = orderly()
    add_orderly(story, with_rules(schedule="@every 7s"), job="other/seven")
    story.forget(50)
    (violation,) = story.verdict().violations
    assert violation.job == JOB
