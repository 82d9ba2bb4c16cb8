"""Histories with faults that keep every promise pass, and one planted wrong in them is found, and nothing else."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.faults.history import SECOND_US, CallKind, Concurrency, Guarantee, JobRules
from tests.faults.verdict import ViolationKind
from tests.unit.faults.stories import BEGAN_US, EVERY_10_S, JOB, Story, add_orderly, at, orderly, with_rules

Kind = ViolationKind
RECOVERY = 5.0
SCHEDULES = ["*/10 * * * * *", "@every 7s", "*/15 * * * * *", "@every 13s", "* * * * *"]
FAULTS = st.lists(st.tuples(st.floats(5, 250), st.floats(0.5, 20)), max_size=4)


@st.composite
def stormy(draw: st.DrawFn) -> Story:
    """Several jobs; faults delay what is due in them until they are over, and double some of it."""
    story = Story(until=300)
    for number, schedule in enumerate(draw(st.lists(st.sampled_from(SCHEDULES), min_size=1, max_size=4))):
        rules = JobRules(schedule=schedule, concurrency=Concurrency.ALLOW)
        add_orderly(story, rules, created=0.5 + number, job=f"default/job-{number}")
    for begin, span in draw(FAULTS):
        story.fault(begin, begin + span)
        for place, arrival in enumerate(story.arrivals):
            if at(begin) <= arrival.scheduled_us <= at(begin + span + RECOVERY):
                late_us = int(draw(st.floats(0, 1)) * (at(begin + span + RECOVERY) - arrival.scheduled_us))
                came_us = max(arrival.began_us, arrival.scheduled_us + late_us)
                story.arrivals[place] = replace(arrival, began_us=came_us, ended_us=came_us + 50_000)
                if draw(st.booleans()) and came_us < at(begin + span):
                    story.arrivals.append(replace(story.arrivals[place], began_us=came_us + 60_000))
    return story


@given(story=stormy())
def test_faults_that_are_recovered_from_in_time_break_no_promise(story: Story) -> None:
    verdict = story.verdict()
    assert verdict.violations == ()
    assert verdict.counts.delivered == verdict.counts.targets > 0


@given(story=stormy(), place=st.integers(0))
def test_a_run_that_is_taken_away_is_found_whatever_else_happens(story: Story, place: int) -> None:
    lost = story.records[place % len(story.records)]
    story.forget((lost.scheduled_us - BEGAN_US) / SECOND_US, lost.job)
    found = [(each.kind, each.job, each.at_us) for each in story.verdict().violations]
    assert found == [(Kind.MISSED, lost.job, lost.scheduled_us)]


def missed(story: Story) -> None:
    story.forget(50)


def late(story: Story) -> None:
    story.change_arrival(50, lambda arrival: replace(arrival, began_us=at(53), ended_us=at(53.1)))


def unexplained(story: Story) -> None:
    story.forget(50)
    story.record(50, "SKIPPED", "OVERLAP")


def double_accepted(story: Story) -> None:
    story.records.append(replace(story.records[4], execution_id="another", status="SKIPPED", reason_code="OVERLAP"))


def duplicate(story: Story) -> None:
    story.arrivals.append(replace(story.arrivals[4], began_us=at(53)))


def two_ids(story: Story) -> None:
    story.arrivals.append(replace(story.arrivals[4], execution_id="another", began_us=at(53)))


def at_most_once_twice(story: Story) -> None:
    story.calls = [replace(story.calls[0], rules=with_rules(guarantee=Guarantee.AT_MOST_ONCE))]
    duplicate(story)


def early(story: Story) -> None:
    story.change_arrival(50, lambda arrival: replace(arrival, began_us=at(49)))


def after_pause(story: Story) -> None:
    story.call(CallKind.PAUSE, 45, rules=with_rules(is_enabled=False))


def after_delete(story: Story) -> None:
    story.call(CallKind.DELETE, 45)


def after_update(story: Story) -> None:
    story.call(CallKind.UPDATE, 45, rules=with_rules(schedule="@manual"))


def no_target(story: Story) -> None:
    story.run(55)


def overlap(story: Story) -> None:
    story.change_arrival(40, lambda arrival: replace(arrival, ended_us=at(52)))


def forbidden(story: Story) -> None:
    story.calls = [replace(story.calls[0], rules=with_rules(frozen_s=(45, 55)))]


def trigger_lost(story: Story) -> None:
    story.call(CallKind.TRIGGER, 55, execution_id="asked")


def completion_lost(story: Story) -> None:
    rules = with_rules(completion_us=8 * SECOND_US)
    story.calls = [replace(story.calls[0], rules=replace(rules, created_us=at(0.5)))]
    failed = replace(story.calls[0], kind=CallKind.COMPLETE, rules=None, execution_id=f"{JOB}@50", status="FAILED")
    story.calls.append(replace(failed, sent_us=at(50.02), answered_us=at(50.04)))


def retries(story: Story) -> None:
    story.forget(50)
    story.run(50, answers=(503,), status="FAILED")


def never_ended(story: Story) -> None:
    story.change_record(50, lambda record: replace(record, status="RUNNING"))


def wrong_result(story: Story) -> None:
    story.change_arrival(50, lambda arrival: replace(arrival, status=503))


def unrecorded(story: Story) -> None:
    del story.records[4]


PLANTED: dict[Kind, Callable[[Story], None]] = {
    Kind.MISSED: missed,
    Kind.LATE: late,
    Kind.UNEXPLAINED: unexplained,
    Kind.DOUBLE_ACCEPTED: double_accepted,
    Kind.DUPLICATE_OUTSIDE_FAULT: duplicate,
    Kind.DUPLICATE_IDS: two_ids,
    Kind.AT_MOST_ONCE_TWICE: at_most_once_twice,
    Kind.EARLY: early,
    Kind.AFTER_PAUSE: after_pause,
    Kind.AFTER_DELETE: after_delete,
    Kind.AFTER_UPDATE: after_update,
    Kind.NO_TARGET: no_target,
    Kind.OVERLAP: overlap,
    Kind.FORBIDDEN: forbidden,
    Kind.TRIGGER_LOST: trigger_lost,
    Kind.COMPLETION_LOST: completion_lost,
    Kind.RETRIES: retries,
    Kind.NEVER_ENDED: never_ended,
    Kind.WRONG_RESULT: wrong_result,
    Kind.UNRECORDED: unrecorded,
}


@pytest.mark.parametrize("kind", Kind)
def test_each_kind_of_violation_is_found_where_it_was_planted(kind: Kind) -> None:
    story = orderly(EVERY_10_S)
    assert story.kinds() == []
    PLANTED[kind](story)
    assert kind in story.kinds()
    assert all(violation.job == JOB for violation in story.verdict().violations)
