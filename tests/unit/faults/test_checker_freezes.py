"""Planted violations in runs that a policy forbids in some seconds of each minute."""

from dataclasses import replace

import pytest

from tests.faults.freeze import FROZEN_S, TAGS, policy
from tests.faults.history import Concurrency
from tests.faults.job_plan import KINDS, one_job
from tests.faults.verdict import ViolationKind
from tests.unit.faults.stories import Story, at, orderly, with_rules

Kind = ViolationKind
FROZEN = with_rules(frozen_s=FROZEN_S)


def frozen() -> Story:
    """Every ten seconds; the runs of 40 s and of 100 s are refused."""
    story = orderly(FROZEN)
    for due in (40, 100):
        refuse(story, due)
    return story


def refuse(story: Story, due: float) -> None:
    story.forget(due)
    story.record(due, "SKIPPED", "POLICY")


def test_runs_are_refused_in_these_seconds_and_no_others() -> None:
    assert frozen().kinds() == []


def test_a_run_that_a_policy_forbids_is_found() -> None:
    assert orderly(FROZEN).kinds() == []
    story = frozen()
    story.forget(100)
    story.run(100, late=1.5)
    assert Kind.FORBIDDEN in story.kinds()


def test_a_run_that_was_judged_before_may_come_in_these_seconds() -> None:
    story = frozen()
    story.forget(100)
    story.run(100, late=0.9)
    assert story.kinds() == []


def test_what_a_fault_held_up_may_come_in_these_seconds() -> None:
    story = frozen()
    story.forget(30)
    story.run(30, late=12)
    story.fault(29, 41)
    assert story.kinds() == []


@pytest.mark.parametrize("due", [30, 50])
def test_a_refusal_at_another_time_is_not_believed(due: int) -> None:
    story = frozen()
    refuse(story, due)
    assert story.kinds() == [Kind.UNEXPLAINED]
    story.fault(due, due + 1)
    assert story.kinds() == []


def test_a_refusal_of_a_job_to_which_no_policy_applies_is_not_believed() -> None:
    story = orderly()
    refuse(story, 40)
    assert story.kinds() == [Kind.UNEXPLAINED]


def test_a_run_that_waits_for_policies_is_under_way() -> None:
    rules = with_rules(frozen_s=FROZEN_S, concurrency=Concurrency.FORBID)
    story = orderly(rules)
    for due in (40, 100):
        refuse(story, due)
    story.forget(60)
    story.record(60, "SKIPPED", "OVERLAP")
    assert story.kinds() == [Kind.UNEXPLAINED]
    refuse(story, 50)
    story.change_record(50, lambda record: replace(record, completed_us=at(60)))
    story.fault(49, 51)
    assert story.kinds() == []


def test_the_policy_is_about_the_jobs_that_are_planned_so() -> None:
    jobs = [one_job(number, number) for number in range(len(KINDS))]
    tagged = [job for job in jobs if job.document("127.0.0.1:1").get("tags") == TAGS]
    assert tagged == [job for job in jobs if job.rules.frozen_s == FROZEN_S]
    assert len(tagged) == 3
    assert policy()["tags"] == TAGS
