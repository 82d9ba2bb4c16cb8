"""What is counted, and how it is told."""

from tests.faults.checker import BETWEEN
from tests.faults.checks.fault_times import FaultTimes
from tests.faults.history import FaultSpan, Limits, Phase
from tests.faults.verdict import BUCKETS_US, histogram, report
from tests.unit.faults.stories import at, orderly


def test_lateness_is_told_for_each_phase_that_a_run_was_due_in() -> None:
    story = orderly()
    story.phases += [
        Phase(name="quiet", began_us=at(0), ended_us=at(35)),
        Phase(name="kill -9", began_us=at(35), ended_us=at(65)),
        Phase(name="unused", began_us=at(66), ended_us=at(67)),
        Phase(name="quiet", began_us=at(90), ended_us=at(130)),
    ]
    story.forget(50)
    story.run(50, late=0.4)
    found = {each.phase: each for each in story.verdict().lateness}
    assert {name: each.runs for name, each in found.items()} == {"quiet": 6, "kill -9": 3, "unused": 0, BETWEEN: 2}
    assert (found["kill -9"].p50_us, found["kill -9"].max_us) == (10_000, 400_000)


def test_a_histogram_counts_each_value_once() -> None:
    found = histogram("quiet", [0, 1_000, 1_001, 90_000_000, *range(0, 2_000_000, 1_000)])
    assert sum(found.counts) == found.runs == 2_004
    assert len(found.counts) == len(BUCKETS_US) + 1
    assert (found.counts[0], found.counts[-1]) == (4, 1)
    assert found.p50_us == 998_000
    assert histogram("none", []).max_us == 0


def test_spans_of_trouble_join_with_their_recovery() -> None:
    spans = tuple(FaultSpan(kind="x", nodes=(), began_us=begin, ended_us=begin + 10) for begin in (100, 112, 200))
    times = FaultTimes(spans, Limits(recovery_us=5))
    assert times.calm_after(100, 100) == 127
    assert times.calm_after(50, 99) == 50
    assert times.calm_after(50, 100) == 127
    assert times.calm_after(128, 150) == 128
    assert times.trouble_before(120) == 100
    assert times.trouble_before(128) == 128
    assert [times.is_near(begin, begin + 1) for begin in (98, 99, 127, 128, 215, 216)] == [
        False,
        True,
        True,
        False,
        True,
        False,
    ]


def test_the_report_says_what_was_found_and_where() -> None:
    story = orderly()
    assert report(story.verdict()).startswith("Every promise was kept.\n11 targets of 1 jobs: 11 delivered")
    for due in range(10, 120, 10):
        story.forget(due)
    text = report(story.verdict())
    assert text.startswith("VIOLATIONS: 11\n")
    assert "MISSED: 11" in text


def test_a_long_report_is_cut_off() -> None:
    story = orderly(until=400)
    for due in range(10, 400, 10):
        story.forget(due)
    assert report(story.verdict()).endswith("and 19 more")
