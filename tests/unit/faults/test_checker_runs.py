"""Planted violations in runs: doubled, overlapping, given up too early, never ended, contradicted, lost triggers."""

from dataclasses import replace

import pytest

from tests.faults.checker import check
from tests.faults.history import CallKind, Concurrency, Guarantee, JobRules, Limits, Outcome
from tests.faults.verdict import ViolationKind
from tests.unit.faults.stories import JOB, Story, add_orderly, at, orderly, with_rules

Kind = ViolationKind
AT_MOST_ONCE = with_rules(guarantee=Guarantee.AT_MOST_ONCE)
MANUAL = JobRules(schedule="@manual")


def doubled(rules: JobRules | None = None, **second: object) -> Story:
    """The request of 50 s comes again at 50.5 s."""
    story = orderly(rules or with_rules())
    (first,) = [arrival for arrival in story.arrivals if arrival.scheduled_us == at(50)]
    story.arrivals.append(replace(first, began_us=at(50.5), ended_us=at(50.6), **second))  # type: ignore[arg-type]
    return story


def test_a_second_request_without_a_fault_is_a_duplicate() -> None:
    story = doubled()
    verdict = story.verdict()
    assert list(verdict.by_kind()) == [Kind.DUPLICATE_OUTSIDE_FAULT]
    assert verdict.counts.duplicates_outside_faults == 1


def test_a_second_attempt_after_a_good_answer_is_a_duplicate() -> None:
    assert doubled(attempt=2).kinds() == [Kind.DUPLICATE_OUTSIDE_FAULT]


def test_a_second_request_around_a_fault_is_counted_only() -> None:
    story = doubled()
    story.fault(49, 50.2)
    verdict = story.verdict()
    assert verdict.is_kept
    assert verdict.counts.duplicates_inside_faults == 1


def test_a_retry_after_a_failure_is_no_duplicate() -> None:
    story = orderly()
    story.forget(50)
    story.run(50, answers=(503, 0, 200))
    verdict = story.verdict()
    assert verdict.is_kept
    assert verdict.counts.duplicates_outside_faults == 0


def test_the_same_attempt_again_is_a_duplicate_also_after_a_failure() -> None:
    story = orderly()
    story.forget(50)
    story.run(50, answers=(503, 200))
    story.arrivals = [replace(each, attempt=1) for each in story.arrivals]
    assert story.kinds() == [Kind.DUPLICATE_OUTSIDE_FAULT]


def test_at_most_once_is_never_sent_twice_fault_or_not() -> None:
    story = doubled(AT_MOST_ONCE)
    story.fault(49, 51)
    assert story.kinds() == [Kind.AT_MOST_ONCE_TWICE]


def test_at_most_once_has_no_second_attempt_either() -> None:
    story = orderly(AT_MOST_ONCE)
    story.forget(50)
    story.run(50, answers=(503, 200))
    assert story.kinds() == [Kind.AT_MOST_ONCE_TWICE]


def test_two_records_for_one_scheduled_time_are_two_accepted_runs() -> None:
    story = orderly()
    story.record(50, "SUCCESS", execution_id="another")
    assert Kind.DOUBLE_ACCEPTED in story.kinds()


def test_an_execution_that_the_ledger_has_twice_is_accepted_twice() -> None:
    story = orderly()
    story.records.append(story.records[4])
    assert story.kinds() == [Kind.DOUBLE_ACCEPTED]


def test_a_trigger_at_a_scheduled_time_is_no_second_run_of_the_schedule() -> None:
    story = orderly(with_rules(concurrency=Concurrency.ALLOW))
    story.call(CallKind.TRIGGER, 49.99, execution_id="asked")
    story.run(50, cause="MANUAL", execution_id="asked")
    assert story.kinds() == []


def test_requests_under_two_ids_for_one_scheduled_time_are_duplicates() -> None:
    story = orderly()
    story.fault(49, 51)
    story.run(50, execution_id="another", late=0.2)
    assert story.kinds() == [Kind.DOUBLE_ACCEPTED, Kind.DUPLICATE_IDS]


def test_two_jobs_that_had_the_same_name_may_run_at_the_same_time() -> None:
    story = orderly()
    story.call(CallKind.DELETE, 49.9)
    story.call(CallKind.CREATE, 49.95, rules=with_rules(created_us=at(49.95)), version=1)
    story.run(50, execution_id="of the second", uid="another uid", late=0.2)
    assert story.kinds() == []


def overlapping(concurrency: Concurrency) -> Story:
    """The run of 40 s takes until 55 s; that of 50 s comes at 50.01 s."""
    story = orderly(with_rules(concurrency=concurrency))
    story.forget(40)
    story.run(40, takes=15)
    return story


@pytest.mark.parametrize("concurrency", [Concurrency.FORBID, Concurrency.QUEUE])
def test_runs_that_must_not_overlap_do_not(concurrency: Concurrency) -> None:
    assert overlapping(concurrency).kinds() == [Kind.OVERLAP]


def test_a_run_is_under_way_between_its_attempts_too() -> None:
    story = orderly(with_rules(concurrency=Concurrency.QUEUE))
    story.forget(50)
    story.run(50, answers=(503, 200), late=9.8, takes=0.1)  # 59.8 to 59.9 and 60.4 to 60.5; the next one at 60.01
    assert story.kinds(Limits(epsilon_us=10_000_000)) == [Kind.OVERLAP]


def test_runs_that_may_overlap_do() -> None:
    assert overlapping(Concurrency.ALLOW).kinds() == []


def test_an_overlap_that_a_fault_made_is_counted_only() -> None:
    story = overlapping(Concurrency.FORBID)
    story.fault(44, 46)
    verdict = story.verdict()
    assert verdict.is_kept
    assert verdict.counts.overlaps_inside_faults == 1


def test_the_same_execution_twice_at_once_is_a_duplicate_and_no_overlap() -> None:
    story = doubled()
    story.change_arrival(50, lambda arrival: replace(arrival, ended_us=at(52)))
    assert story.kinds() == [Kind.DUPLICATE_OUTSIDE_FAULT]


def test_a_request_that_chronos_gave_up_overlaps_with_nothing() -> None:
    story = overlapping(Concurrency.FORBID)
    story.change_arrival(40, lambda arrival: replace(arrival, is_early_close=True, status=0))
    assert Kind.OVERLAP not in story.kinds()


def failing(attempts: int, answers: tuple[int, ...], status: str = "FAILED") -> Story:
    story = orderly()
    story.forget(50)
    story.run(50, answers=answers, status=status)
    story.change_record(50, lambda record: replace(record, attempts=attempts))
    return story


def test_a_run_that_failed_as_often_as_promised_is_explained() -> None:
    assert failing(3, (503, 503, 0)).kinds() == []
    assert failing(3, (0, 0, 0), "TIMED_OUT").kinds() == []


@pytest.mark.parametrize(("attempts", "answers"), [(2, (503, 503)), (3, (503, 503)), (3, (503,))])
def test_a_run_that_was_given_up_too_early_is_found(attempts: int, answers: tuple[int, ...]) -> None:
    assert failing(attempts, answers).kinds() == [Kind.RETRIES]


def test_an_answer_that_will_not_mend_needs_no_other_attempt() -> None:
    assert failing(1, (404,)).kinds() == []


def test_attempts_that_found_nobody_count_inside_a_fault() -> None:
    story = failing(3, (503,))
    story.fault(49, 55, "receiver refuses")
    assert story.kinds() == []


def test_at_most_once_fails_after_one_attempt() -> None:
    story = orderly(AT_MOST_ONCE)
    story.forget(50)
    story.run(50, answers=(503,), status="FAILED")
    assert story.kinds() == []


@pytest.mark.parametrize("status", ["PENDING", "RUNNING"])
def test_a_run_that_never_ends_is_found(status: str) -> None:
    story = orderly()
    story.forget(50)
    story.record(50, status)
    assert story.kinds() == [Kind.NEVER_ENDED]


def test_a_run_that_is_due_after_the_judged_time_may_be_under_way() -> None:
    story = orderly()
    story.record(120, "RUNNING")
    assert story.kinds() == []


def test_success_without_a_request_is_wrong() -> None:
    story = orderly()
    story.forget(50)
    story.record(50, "SUCCESS")
    assert story.kinds() == [Kind.MISSED, Kind.WRONG_RESULT]


def test_success_after_failures_alone_is_wrong() -> None:
    assert failing(3, (503, 503, 503), "SUCCESS").kinds() == [Kind.MISSED, Kind.WRONG_RESULT]


def test_failure_after_a_good_answer_is_wrong() -> None:
    assert failing(3, (503, 503, 200)).kinds() == [Kind.WRONG_RESULT]


def test_an_answer_may_get_lost_in_a_fault() -> None:
    story = failing(3, (503, 503, 200))
    story.fault(50.5, 52, "partition")
    assert story.kinds() == []


def test_skipped_though_it_ran_is_wrong() -> None:
    story = orderly()
    story.change_record(50, lambda record: replace(record, status="SKIPPED", reason_code="OVERLAP"))
    assert story.kinds() == [Kind.UNEXPLAINED, Kind.WRONG_RESULT]


def test_a_run_that_the_ledger_does_not_know_is_unrecorded() -> None:
    story = orderly()
    story.records = [record for record in story.records if record.scheduled_us != at(50)]
    assert story.kinds() == [Kind.UNRECORDED]


def test_without_a_ledger_records_are_not_asked_for() -> None:
    story = orderly()
    story.records.clear()
    history = replace(story.history(), has_ledger=False)
    assert check(history, Limits()).is_kept


def triggered(outcome: Outcome = Outcome.ACKNOWLEDGED) -> Story:
    story = orderly(MANUAL)
    known = outcome is Outcome.ACKNOWLEDGED
    story.call(CallKind.TRIGGER, 50, execution_id="asked" if known else "", outcome=outcome)
    return story


def test_a_trigger_that_was_delivered_passes() -> None:
    story = triggered()
    story.run(50.01, cause="MANUAL", execution_id="asked")
    assert story.kinds() == []


def test_an_acknowledged_trigger_without_a_run_is_lost() -> None:
    (violation,) = triggered().verdict().violations
    assert (violation.kind, violation.execution_id) == (Kind.TRIGGER_LOST, "asked")


def test_a_trigger_that_was_skipped_for_a_true_reason_passes() -> None:
    story = triggered()
    story.call(CallKind.TRIGGER, 49, execution_id="first")
    story.run(49, cause="MANUAL", execution_id="first", takes=5)
    story.record(50, "SKIPPED", "OVERLAP", cause="MANUAL", execution_id="asked")
    assert story.kinds() == []


def test_a_trigger_that_comes_too_late_is_late() -> None:
    story = triggered()
    story.run(50.01, cause="MANUAL", execution_id="asked", late=3)
    assert story.kinds() == [Kind.LATE]


def test_a_trigger_that_never_ends_is_found() -> None:
    story = triggered()
    story.record(50, "PENDING", cause="MANUAL", execution_id="asked")
    assert story.kinds() == [Kind.NEVER_ENDED]


def test_a_trigger_without_an_answer_may_run_or_not() -> None:
    story = triggered(Outcome.UNKNOWN)
    assert story.kinds() == []
    story.run(50.01, cause="MANUAL", execution_id="whatever")
    assert story.kinds() == []


def test_a_manual_run_that_nobody_asked_for_has_no_target() -> None:
    story = orderly(MANUAL)
    story.run(50.01, cause="MANUAL", execution_id="nobody's")
    assert story.kinds() == [Kind.NO_TARGET]


def followed() -> Story:
    """Each run of `default/report` is followed by one of `default/after`."""
    story = orderly()
    story.call(CallKind.CREATE, 0.2, job="default/after", rules=JobRules(schedule="", depends_on=(JOB,)), version=1)
    for due in range(10, 120, 10):
        story.run(due + 0.1, job="default/after", cause="DEPENDENCY")
        story.records[-1] = replace(story.records[-1], parent_ids=(f"{JOB}@{due}",))
    return story


def test_runs_that_follow_others_pass() -> None:
    assert followed().kinds() == []


def test_a_success_that_no_run_follows_is_found() -> None:
    story = followed()
    story.forget(50.1, "default/after")
    assert story.kinds() == [Kind.MISSED]


def test_a_follower_that_is_skipped_needs_a_failed_parent() -> None:
    story = followed()
    story.forget(50.1, "default/after")
    story.record(
        50.1, "SKIPPED", "DEPENDENCY_FAILED", job="default/after", cause="DEPENDENCY", parent_ids=(f"{JOB}@50",)
    )
    assert story.kinds() == [Kind.UNEXPLAINED]


def test_a_run_that_follows_nothing_has_no_target() -> None:
    story = orderly()
    add_orderly(story, MANUAL, job="default/after")
    story.run(50.1, job="default/after", cause="DEPENDENCY")
    assert story.kinds() == [Kind.NO_TARGET]


def test_two_runs_that_follow_the_same_run_are_two_accepted_runs() -> None:
    story = followed()
    story.run(50.3, job="default/after", cause="DEPENDENCY")
    story.records[-1] = replace(story.records[-1], parent_ids=(f"{JOB}@50",))
    assert story.kinds() == [Kind.DOUBLE_ACCEPTED]


def test_a_run_that_comes_before_the_one_that_it_follows_has_ended_is_early() -> None:
    story = followed()
    story.change_arrival(50, lambda arrival: replace(arrival, ended_us=at(50.4)))
    assert story.kinds() == [Kind.EARLY]


def test_a_fault_long_after_the_answer_excuses_no_second_request() -> None:
    story = orderly(with_rules(concurrency=Concurrency.ALLOW))
    (first,) = [arrival for arrival in story.arrivals if arrival.scheduled_us == at(50)]
    story.arrivals.append(replace(first, began_us=at(62), ended_us=at(62.1)))
    story.fault(60, 61)
    assert story.kinds() == [Kind.DUPLICATE_OUTSIDE_FAULT]


def test_a_fault_before_the_answer_was_recorded_excuses_a_second_request() -> None:
    story = doubled()
    story.change_arrival(50, lambda arrival: replace(arrival, ended_us=arrival.began_us + 100_000))
    story.fault(50.3, 50.4)
    assert story.verdict().counts.duplicates_inside_faults == 1


def test_a_run_that_was_given_up_for_lost_may_be_followed_before_it_ends() -> None:
    story = followed()
    story.change_arrival(50, lambda arrival: replace(arrival, ended_us=at(50.4)))
    story.calls[0] = replace(story.calls[0], rules=replace(AT_MOST_ONCE, created_us=at(0.5)))
    assert story.kinds() == [Kind.EARLY]
    story.fault(49, 50.2)
    assert story.kinds() == []


def test_what_was_cancelled_may_still_be_under_way_at_the_receiver() -> None:
    story = overlapping(Concurrency.FORBID)
    story.call(CallKind.CANCEL, 45, execution_id=f"{JOB}@40")
    story.change_record(
        40,
        lambda record: replace(record, status="CANCELLED", reason_code="CANCELLED_BY_USER", completed_us=at(45)),
    )
    assert story.kinds() == []


def test_a_follower_is_under_way_from_its_scheduled_time_on() -> None:
    story = followed()
    story.forget(50.1, "default/after")
    story.run(50.1, job="default/after", cause="DEPENDENCY", late=0.8)
    story.records[-1] = replace(story.records[-1], parent_ids=(f"{JOB}@50",))
    story.call(CallKind.TRIGGER, 50.2, job="default/after", execution_id="asked")
    story.record(50.2, "SKIPPED", "OVERLAP", job="default/after", cause="MANUAL", execution_id="asked", completed=50.3)
    assert story.kinds(Limits(epsilon_us=100_000)) == []
