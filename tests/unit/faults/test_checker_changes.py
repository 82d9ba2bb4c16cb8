"""Planted violations around changes: runs after a pause, an update or a delete, and runs that nobody asked for."""

from dataclasses import replace

import pytest

from tests.faults.history import CallKind, JobRules, Outcome
from tests.faults.verdict import ViolationKind
from tests.unit.faults.stories import BEGAN_US, EVERY_10_S, JOB, Story, at, orderly, with_rules

Kind = ViolationKind
PAUSED = with_rules(is_enabled=False)
EVERY_15_S = with_rules(schedule="*/15 * * * * *")
UNKNOWN = Outcome.UNKNOWN


def changed(kind: CallKind, sent: float, rules: JobRules | None, **call: object) -> Story:
    """An orderly history until a change; no run is due after it."""
    story = orderly()
    story.call(kind, sent, rules=rules, version=2, **call)  # type: ignore[arg-type]
    for due in range(10, 120, 10):
        if due > sent:
            story.forget(due)
    return story


@pytest.mark.parametrize(("kind", "rules"), [(CallKind.PAUSE, PAUSED), (CallKind.DELETE, None)])
def test_after_a_pause_or_a_delete_nothing_is_asked_for(kind: CallKind, rules: JobRules | None) -> None:
    story = changed(kind, 55, rules)
    verdict = story.verdict()
    assert verdict.is_kept
    assert verdict.counts.targets == 5


@pytest.mark.parametrize(
    ("kind", "rules", "violation"),
    [
        (CallKind.PAUSE, PAUSED, Kind.AFTER_PAUSE),
        (CallKind.DELETE, None, Kind.AFTER_DELETE),
        (CallKind.UPDATE, with_rules(schedule="@manual"), Kind.AFTER_UPDATE),
    ],
)
def test_a_run_that_is_due_after_the_change_must_not_come(
    kind: CallKind, rules: JobRules | None, violation: Kind
) -> None:
    story = changed(kind, 55, rules)
    story.run(70)
    (found,) = story.verdict().violations
    assert (found.kind, found.at_us) == (violation, at(70))


def test_a_run_that_was_due_before_the_change_may_still_come() -> None:
    story = changed(CallKind.PAUSE, 50.5, PAUSED)
    story.forget(50)
    story.run(50, late=0.9)
    assert story.kinds() == []


@pytest.mark.parametrize("comes", [True, False])
def test_within_a_second_of_the_change_a_run_may_come_or_not(comes: bool) -> None:
    story = changed(CallKind.PAUSE, 49.5, PAUSED)
    if comes:
        story.run(50)
    assert story.kinds() == []


def test_inside_a_fault_the_old_rules_may_live_for_a_lease_longer() -> None:
    story = changed(CallKind.DELETE, 47.5, None)
    story.run(50)  # 2.48 s after the answer
    assert story.kinds() == [Kind.AFTER_DELETE]
    story.fault(46, 48, "SIGSTOP scheduler")
    assert story.kinds() == []


def test_a_run_before_the_change_is_still_asked_for() -> None:
    story = changed(CallKind.PAUSE, 55, PAUSED)
    story.forget(50)
    assert story.kinds() == [Kind.MISSED]


def test_what_waited_when_the_job_was_paused_or_deleted_is_explained_by_that() -> None:
    story = changed(CallKind.PAUSE, 50.2, PAUSED)
    story.forget(50)
    story.record(50, "SKIPPED", "PAUSED", completed=50.3)
    assert story.kinds() == []
    story = changed(CallKind.DELETE, 50.2, None)
    story.forget(50)
    story.record(50, "SKIPPED", "DELETED", completed=50.3)
    assert story.kinds() == []


def resumed() -> Story:
    """Paused from 35 to 75."""
    story = orderly()
    story.call(CallKind.PAUSE, 35, rules=PAUSED, version=2)
    story.call(CallKind.RESUME, 75, rules=EVERY_10_S, version=3)
    for due in (40, 50, 60, 70):
        story.forget(due)
    return story


def test_a_stretch_of_a_pause_stands_for_what_was_due_meanwhile() -> None:
    story = resumed()
    story.record(40, "SKIPPED", "PAUSED", completed=75, until=70, count=4)
    assert story.kinds() == []


def test_a_stretch_of_a_pause_explains_nothing_before_or_after_it() -> None:
    story = resumed()
    story.forget(80)
    story.record(40, "SKIPPED", "PAUSED", completed=75, until=80, count=5)
    assert story.kinds() == [Kind.UNEXPLAINED]
    story = resumed()
    story.forget(30)
    story.record(30, "SKIPPED", "PAUSED", completed=75, until=70, count=5)
    assert story.kinds() == [Kind.UNEXPLAINED]


def test_after_the_resume_runs_are_asked_for_again() -> None:
    story = resumed()
    story.forget(90)
    assert story.kinds() == [Kind.MISSED]


def test_an_update_brings_new_times_and_takes_the_old() -> None:
    story = changed(CallKind.UPDATE, 55, EVERY_15_S)
    for due in (60, 75, 90, 105):
        story.run(due)
    assert story.kinds() == []
    story.forget(75)
    assert story.kinds() == [Kind.MISSED]
    story.run(75)
    story.run(80)
    assert story.kinds() == [Kind.AFTER_UPDATE]


def test_an_every_job_keeps_its_anchor_through_an_update() -> None:
    story = orderly(JobRules(schedule="@every 7s"))
    story.call(CallKind.UPDATE, 55, rules=JobRules(schedule="@every 7s", max_attempts=5), version=2)
    assert story.kinds() == []
    assert story.verdict().counts.targets == 17


def test_an_every_job_whose_creation_nobody_knows_is_judged_by_its_first_run() -> None:
    story = orderly(JobRules(schedule="@every 7s"))
    (call,) = story.calls
    story.calls = [replace(call, rules=JobRules(schedule="@every 7s"))]
    assert story.kinds() == []
    story.forget(0.5 + 7 * 8)
    assert story.kinds() == [Kind.MISSED]


@pytest.mark.parametrize("comes", [True, False])
def test_after_an_update_without_an_answer_both_versions_are_possible(comes: bool) -> None:
    story = orderly()
    story.call(CallKind.UPDATE, 55, rules=EVERY_15_S, outcome=UNKNOWN)
    if comes:
        for due in (70, 80, 100, 110):
            story.forget(due)
        for due in (75, 105):
            story.run(due)
    assert story.kinds() == []
    story.forget(90)  # both versions have it
    assert story.kinds() == [Kind.MISSED]


def test_the_next_acknowledged_change_settles_an_unsure_one() -> None:
    story = orderly()
    story.call(CallKind.UPDATE, 25, rules=EVERY_15_S, outcome=UNKNOWN)
    story.call(CallKind.UPDATE, 55, rules=EVERY_10_S, version=3)
    story.forget(70)
    story.forget(50)
    assert story.verdict().by_kind() == {Kind.MISSED: 1}


def test_a_version_that_did_not_jump_shows_that_an_unsure_change_was_not_done() -> None:
    story = orderly()
    story.call(CallKind.UPDATE, 25, rules=EVERY_15_S, outcome=UNKNOWN)
    story.call(CallKind.UPDATE, 55, rules=EVERY_10_S, version=2)
    story.forget(50)
    assert story.verdict().by_kind() == {Kind.MISSED: 1}


def test_a_later_jump_shows_that_an_unsure_change_came_late() -> None:
    story = orderly()
    story.call(CallKind.UPDATE, 25, rules=EVERY_15_S, outcome=UNKNOWN)
    story.call(CallKind.UPDATE, 45, rules=EVERY_10_S, version=2)
    story.call(CallKind.UPDATE, 75, rules=EVERY_10_S, version=4)
    story.forget(50)
    assert story.kinds() == []
    story.forget(80)
    assert story.kinds() == [Kind.MISSED]


def test_a_pause_without_an_answer_excuses_missing_runs_and_explains_them() -> None:
    story = orderly()
    story.call(CallKind.PAUSE, 55, rules=PAUSED, outcome=UNKNOWN)
    story.forget(70)
    story.record(70, "SKIPPED", "PAUSED", completed=71)
    story.forget(80)
    assert story.kinds() == []


def test_a_refused_change_changes_nothing() -> None:
    story = orderly()
    story.call(CallKind.DELETE, 55, outcome=Outcome.REFUSED)
    assert story.kinds() == []
    story.forget(70)
    assert story.kinds() == [Kind.MISSED]


def test_a_job_that_is_created_again_runs_again() -> None:
    story = orderly()
    story.call(CallKind.DELETE, 45, version=2)
    story.call(CallKind.CREATE, 65, rules=replace(EVERY_10_S, created_us=at(65)), version=1)
    for due in (50, 60):
        story.forget(due)
    assert story.kinds() == []
    story.run(50)
    assert story.kinds() == [Kind.AFTER_DELETE]


def test_a_run_at_a_time_that_no_schedule_has_has_no_target() -> None:
    story = orderly()
    story.run(53)
    assert story.kinds() == [Kind.NO_TARGET]


def test_a_record_at_a_time_that_no_schedule_has_has_no_target() -> None:
    story = orderly()
    story.record(53, "SKIPPED", "OVERLAP")
    assert Kind.NO_TARGET in story.kinds()


def test_a_run_before_the_job_was_created_has_no_target() -> None:
    story = orderly(created=25)
    story.run(10)
    assert story.kinds() == [Kind.NO_TARGET]


def test_a_run_of_an_unknown_job_has_no_target() -> None:
    story = orderly()
    story.run(50, job="default/nobodys")
    assert story.kinds() == [Kind.NO_TARGET]


def test_a_run_after_the_judged_time_is_judged_too_if_nobody_asks_for_it() -> None:
    story = orderly()
    story.run(130)
    assert story.kinds() == []
    story.run(133)
    assert story.kinds() == [Kind.NO_TARGET]


def test_a_run_before_its_time_is_early() -> None:
    story = orderly()
    story.change_arrival(50, lambda arrival: replace(arrival, began_us=at(49.9)))
    assert story.kinds() == [Kind.EARLY]


def test_a_run_that_is_early_by_less_than_the_clocks_are_apart_is_not() -> None:
    story = orderly()
    story.change_arrival(50, lambda arrival: replace(arrival, began_us=at(49.985)))
    assert story.kinds() == []


def test_times_are_told_since_the_epoch() -> None:
    assert orderly().verdict().counts.jobs == 1
    assert BEGAN_US % 86_400_000_000 == 0
    assert JOB == "default/report"


def dated_back(*, clock_behind: float) -> Story:
    """A schedule that begins at 57.5 s, and has a run at 56 s."""
    story = changed(CallKind.UPDATE, 57.5, with_rules(schedule="56 * * * * *"))
    story.fault(57, 58, "clock back", clock_behind=clock_behind)
    story.run(56, late=1.7)
    story.run(116)
    return story


def test_a_clock_that_is_behind_dates_a_change_back_by_as_much() -> None:
    assert dated_back(clock_behind=3).kinds() == []


def test_another_fault_does_not() -> None:
    assert dated_back(clock_behind=0).kinds() == [Kind.NO_TARGET]


@pytest.mark.parametrize(("clock_behind", "kinds"), [(3, []), (1, [Kind.MISSED])])
def test_what_was_due_between_the_moment_that_such_a_clock_tells_and_the_true_one_may_be_left_out(
    clock_behind: float, kinds: list[Kind]
) -> None:
    story = changed(CallKind.PAUSE, 52, PAUSED)
    story.forget(50)
    story.fault(51, 53, "clock back", clock_behind=clock_behind)
    assert story.kinds() == kinds
