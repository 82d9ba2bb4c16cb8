"""Which occurrences still run when the scheduler looks too late: the pure decision."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from services.scheduler.domain.missed import MOST_COUNTED, resolve_missed, stretch_between
from services.scheduler.domain.occurrence import MissedPolicy, MissedRules
from services.scheduler.domain.schedule.parse import parse_schedule
from services.scheduler.domain.schedule.sequence import last_before

START = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
HOURLY = parse_schedule("0 * * * *", "UTC", anchor=START)
ONE, ALL = MissedRules(), MissedRules(policy=MissedPolicy.EXECUTE_ALL, max_runs=3)


def test_of_late_occurrences_the_latest_runs() -> None:
    cutoff = START + 5.5 * HOUR
    missed = resolve_missed(HOURLY, START, cutoff=cutoff, now=cutoff, rules=ONE)
    assert missed.run_at == START + 5 * HOUR
    assert missed.skipped is not None
    assert (missed.skipped.first, missed.skipped.last, missed.skipped.count) == (START, START + 4 * HOUR, 5)


def test_a_single_late_occurrence_just_runs() -> None:
    daily = parse_schedule("0 0 * * *", "UTC", anchor=START)
    missed = resolve_missed(daily, START, cutoff=START + 5 * HOUR, now=START + 5 * HOUR, rules=ONE)
    assert (missed.run_at, missed.skipped) == (START, None)


def test_a_year_of_missed_seconds_is_settled_at_once() -> None:
    secondly = parse_schedule("@every 1s", "UTC", anchor=START)
    cutoff = START + timedelta(days=365)
    missed = resolve_missed(secondly, START + timedelta(seconds=1), cutoff=cutoff, now=cutoff, rules=ONE)
    assert missed.run_at == cutoff - timedelta(seconds=1)
    assert missed.skipped is not None
    assert missed.skipped.count == MOST_COUNTED
    assert not missed.skipped.is_count_exact


def test_nothing_that_is_older_than_the_window_runs() -> None:
    rules = MissedRules(window=HOUR / 2)
    cutoff = START + 5.75 * HOUR
    missed = resolve_missed(HOURLY, START, cutoff=cutoff, now=cutoff, rules=rules)
    assert missed.run_at is None
    assert missed.skipped is not None
    assert missed.skipped.count == 6


@given(
    every=st.integers(1, 7200), late=st.integers(1, 200_000), most=st.integers(1, 50), window=st.integers(60, 200_000)
)
def test_what_runs_and_what_is_skipped_is_everything_once(every: int, late: int, most: int, window: int) -> None:
    schedule = parse_schedule(f"@every {every}s", "UTC", anchor=START)
    first = START + timedelta(seconds=every)
    cutoff = first + timedelta(seconds=late)
    rules = MissedRules(policy=MissedPolicy.EXECUTE_ALL, max_runs=most, window=timedelta(seconds=window))
    missed = resolve_missed(schedule, first, cutoff=cutoff, now=cutoff, rules=rules)
    due = [first + timedelta(seconds=n) for n in range(0, late, every)]
    kept = [moment for moment in due if moment >= cutoff - rules.window][-most:]
    assert missed.run_at == (kept[0] if kept else None)
    skipped = due[: len(due) - len(kept)]
    if not skipped:
        assert missed.skipped is None
    else:
        assert missed.skipped is not None
        assert (missed.skipped.first, missed.skipped.last) == (skipped[0], skipped[-1])
        assert missed.skipped.count == min(len(skipped), MOST_COUNTED)


@given(every=st.integers(1, 5000), offset=st.integers(0, 20_000), span=st.integers(0, 20_000))
def test_the_last_occurrence_before_a_moment_is_the_one_that_counting_finds(every: int, offset: int, span: int) -> None:
    schedule = parse_schedule(f"@every {every}s", "UTC", anchor=START)
    floor, limit = START + timedelta(seconds=offset), START + timedelta(seconds=offset + span)
    moments = [START + timedelta(seconds=n) for n in range(every, offset + span, every)]
    wanted = [moment for moment in moments if moment > floor]
    assert last_before(schedule, limit, floor=floor) == (wanted[-1] if wanted else None)
    found = stretch_between(schedule, floor, limit)
    assert (found.first if found else None) == (wanted[0] if wanted else None)
