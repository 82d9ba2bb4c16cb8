"""Planted violations in runs that their targets accept and complete later."""

from dataclasses import replace

import pytest

from tests.faults.history import SECOND_US, CallKind, Concurrency, Limits, Outcome
from tests.faults.verdict import ViolationKind
from tests.unit.faults.stories import JOB, Story, at, orderly, with_rules

Kind = ViolationKind
RUN = f"{JOB}@50"


def accepted(
    status: str = "SUCCESS", *, told: str = "SUCCESS", outcome: Outcome = Outcome.ACKNOWLEDGED, ended: float = 54
) -> Story:
    """The run of 50 s is accepted at 50.06 s and has until 58.06 s; its target tells the end at 54 s, if it does."""
    story = orderly(with_rules(completion_us=8 * SECOND_US, concurrency=Concurrency.ALLOW))
    story.forget(50)
    story.run(50, answers=(202,), status=status)
    story.change_record(50, lambda record: replace(record, completed_us=at(ended)))
    if told:
        story.calls.append(
            replace(story.calls[0], kind=CallKind.COMPLETE, rules=None, execution_id=RUN, status=told, outcome=outcome)
        )
        story.calls[-1] = replace(story.calls[-1], sent_us=at(54), answered_us=at(54.02))
    return story


def timed_out(ended: float, *, told: str = "", outcome: Outcome = Outcome.REFUSED) -> Story:
    story = accepted("TIMED_OUT", told=told, outcome=outcome, ended=ended)
    story.change_record(50, lambda record: replace(record, reason_code="ACCEPTED"))
    return story


@pytest.mark.parametrize("status", ["SUCCESS", "FAILED"])
def test_a_run_ends_as_its_target_tells(status: str) -> None:
    assert accepted(status, told=status).kinds() == []


def test_a_run_times_out_at_its_deadline() -> None:
    assert timed_out(58.1).kinds() == []
    assert timed_out(58.1, told="SUCCESS").kinds() == []


@pytest.mark.parametrize(("status", "told"), [("FAILED", "SUCCESS"), ("SUCCESS", "FAILED"), ("LOST", "SUCCESS")])
def test_another_end_than_the_target_was_told_to_be_taken_is_found(status: str, told: str) -> None:
    assert Kind.COMPLETION_LOST in accepted(status, told=told).kinds()


def test_a_deadline_does_not_overrule_an_end_that_was_taken() -> None:
    assert timed_out(58.1, told="SUCCESS", outcome=Outcome.ACKNOWLEDGED).kinds() == [Kind.COMPLETION_LOST]


def test_a_completion_whose_answer_got_lost_counts_or_not() -> None:
    assert accepted(told="SUCCESS", outcome=Outcome.UNKNOWN).kinds() == []
    assert timed_out(58.1, told="SUCCESS", outcome=Outcome.UNKNOWN).kinds() == []


@pytest.mark.parametrize("status", ["SUCCESS", "FAILED"])
def test_an_end_that_nobody_told_is_wrong(status: str) -> None:
    assert accepted(status, told="").kinds() == [Kind.WRONG_RESULT]


def test_a_target_may_tell_the_end_before_it_has_answered() -> None:
    story = accepted()
    story.change_arrival(50, lambda arrival: replace(arrival, status=0, is_early_close=True))
    assert story.kinds() == []


@pytest.mark.parametrize(("ended", "kind"), [(57.5, Kind.EARLY), (62.5, Kind.LATE)])
def test_a_deadline_comes_in_time(ended: float, kind: ViolationKind) -> None:
    assert timed_out(ended).kinds() == [kind]


def test_a_deadline_in_a_fault_may_come_late() -> None:
    story = timed_out(62.5)
    story.fault(56, 60)
    assert story.kinds() == []


def test_a_deadline_without_an_acceptance_is_wrong() -> None:
    story = timed_out(58.1)
    story.change_arrival(50, lambda arrival: replace(arrival, status=503))
    assert Kind.WRONG_RESULT in story.kinds()


def test_an_accepted_run_that_is_not_ended_is_found() -> None:
    story = accepted("RUNNING", told="")
    assert story.kinds() == [Kind.NEVER_ENDED]


@pytest.mark.parametrize("concurrency", [Concurrency.FORBID, Concurrency.QUEUE])
def test_a_run_is_under_way_until_its_target_tells_its_end(concurrency: Concurrency) -> None:
    story = accepted()
    story.calls = [
        replace(call, rules=call.rules and replace(call.rules, concurrency=concurrency)) for call in story.calls
    ]
    assert story.kinds() == []
    story.calls[-1] = replace(story.calls[-1], sent_us=at(61), answered_us=at(61.02))
    story.change_record(50, lambda record: replace(record, completed_us=at(61)))
    assert story.kinds() == [Kind.OVERLAP]


@pytest.mark.parametrize(("ended", "is_found"), [(60.02, False), (60.05, True)])
def test_the_end_that_the_ledger_tells_is_by_a_clock_that_may_be_off_by_a_little(ended: float, is_found: bool) -> None:
    story = timed_out(ended)
    story.calls[0] = replace(story.calls[0], rules=with_rules(completion_us=8 * SECOND_US))
    assert (Kind.OVERLAP in story.kinds()) == is_found


def test_a_cancelled_run_needs_not_end_as_its_target_tells() -> None:
    story = accepted("CANCELLED")
    story.change_record(50, lambda record: replace(record, reason_code="CANCELLED_BY_USER"))
    assert story.kinds() == [Kind.COMPLETION_LOST, Kind.UNEXPLAINED]
    story.call(CallKind.CANCEL, 53, execution_id=RUN)
    assert story.kinds() == []


def test_a_run_is_under_way_until_its_target_tells_its_end_whatever_the_clock_of_the_ledger_says() -> None:
    story = accepted(ended=51)
    story.calls = [
        replace(
            call, rules=call.rules and replace(call.rules, schedule="*/2 * * * * *", concurrency=Concurrency.FORBID)
        )
        for call in story.calls
    ]
    for due in range(2, 120, 2):
        if due % 10 and due != 52:
            story.run(due)
    story.record(52, "SKIPPED", "OVERLAP")
    assert story.kinds(Limits(epsilon_us=100_000)) == []


def test_a_clock_that_was_behind_makes_a_deadline_come_early() -> None:
    story = timed_out(55.1)
    assert story.kinds() == [Kind.EARLY]
    story.fault(49, 53, "clock back", clock_behind=3)
    assert story.kinds() == []
