"""`@every`."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.scheduler.domain.schedule.errors import ScheduleError
from services.scheduler.domain.schedule.interval import IntervalSchedule
from tests.strategies import MOMENTS
from tests.unit.schedule.asking import ANCHOR, schedule_of


def test_an_interval_counts_from_its_anchor_whenever_it_is_asked() -> None:
    schedule = schedule_of(" @EVERY 90s ")
    assert schedule.next_after(ANCHOR) == ANCHOR + timedelta(seconds=90)
    assert schedule.next_after(ANCHOR + timedelta(seconds=91)) == ANCHOR + timedelta(seconds=180)
    assert schedule.next_after(ANCHOR - timedelta(days=1)) == ANCHOR + timedelta(seconds=90)


@pytest.mark.parametrize("text", ["1s", "1.5s", "366d", "1h30m", "52w"])
def test_intervals_from_a_second_to_366_days_are_taken(text: str) -> None:
    assert schedule_of(f"@every {text}").next_after(ANCHOR) is not None


@pytest.mark.parametrize(
    ("expression", "hint", "part", "position"),
    [
        ("@every", "one duration", "@every", 0),
        ("@every 5 minutes", "one duration", "minutes", 9),
        ("@every  5", "not a duration", "5", 8),
        ("@every -5m", "not a duration", "-5m", 7),
        ("@every 10ms", "out of range", "10ms", 7),
        ("@every 0s", "out of range", "0s", 7),
        ("@every 367d", "out of range", "367d", 7),
        ("@every 99999999999999999999w", "too long", "99999999999999999999w", 7),
    ],
)
def test_what_is_no_interval_is_refused(expression: str, hint: str, part: str, position: int) -> None:
    with pytest.raises(ScheduleError, match=hint) as refusal:
        schedule_of(expression)
    assert (refusal.value.part, refusal.value.position) == (part, position)
    assert refusal.value.example == "@every 90s"


@given(anchor=MOMENTS, moment=MOMENTS, interval=st.timedeltas(timedelta(seconds=1), timedelta(days=366)))
def test_the_phase_never_moves(anchor: datetime, moment: datetime, interval: timedelta) -> None:
    schedule = IntervalSchedule(interval, anchor)
    found = schedule.next_after(moment)
    assert found is not None
    assert found > moment
    assert (found - anchor) % interval == timedelta(0)
    assert found - interval <= max(moment, anchor)
