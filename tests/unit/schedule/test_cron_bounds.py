"""Every question is answered in a bounded number of steps, counted line by line."""

import sys
from collections.abc import Generator
from contextlib import contextmanager
from datetime import datetime
from itertools import pairwise
from types import FrameType
from typing import Any

import pytest
from hypothesis import assume, given

from services.scheduler.domain.schedule.cron_days import shape_of, shapes_of
from services.scheduler.domain.schedule.errors import ScheduleError
from services.scheduler.domain.schedule.spec import DstPolicy
from tests.strategies import CRON_WITH_SECONDS, DST_POLICIES, MOMENTS, ZONES
from tests.unit.schedule.asking import policy, schedule_of, utc

FOR_ANY = 6_000
"""Lines. The longest wait, 40 Februaries, takes some 700 of them; the others are room for zones with many changes."""
FOR_COMMON = 200


class Steps:
    """How many lines of the schedule package ran."""

    def __init__(self) -> None:
        self.count = 0

    def trace(self, frame: FrameType, event: str, _: Any) -> Any:
        if "domain/schedule" not in frame.f_code.co_filename or frame.f_code.co_name in {"_year", "_change"}:
            return None
        self.count += event == "line"
        return self.trace


@contextmanager
def counted() -> Generator[Steps]:
    """Counts lines, but for those that look a zone's year up: each is looked up once, in 400 steps or so."""
    steps, before = Steps(), sys.gettrace()
    sys.settrace(steps.trace)
    try:
        yield steps
    finally:
        sys.settrace(before)


@given(expression=CRON_WITH_SECONDS, zone=ZONES, dst=DST_POLICIES, start=MOMENTS)
def test_any_expression_is_answered_in_bounded_steps(
    expression: str, zone: str, dst: DstPolicy, start: datetime
) -> None:
    try:
        schedule = schedule_of(expression, zone, dst=dst)
    except ScheduleError as error:
        assume("never happens" not in str(error))
        raise
    with counted() as steps:
        schedule.next_after(start)
    assert steps.count <= FOR_ANY


@pytest.mark.parametrize(
    ("expression", "timezone", "start"),
    [
        ("0 0 29 2 */7", "UTC", "2072-12-01"),
        ("0 0 * 2 MON#5", "Europe/Berlin", "2072-12-01"),
        ("59 59 23 29 2 */7", "Australia/Lord_Howe", "2072-12-01"),
        ("30 2 */31 3 *", "Africa/Casablanca", "2086-12-01"),
    ],
)
def test_the_longest_waits_are_bounded(expression: str, timezone: str, start: str) -> None:
    schedule = schedule_of(expression, timezone)
    with counted() as steps:
        assert schedule.next_after(utc(start)) is not None
    assert steps.count <= FOR_ANY


@pytest.mark.parametrize("expression", ["* * * * *", "*/5 * * * *", "30 9 * * MON-FRI", "59 59 23 31 * *"])
def test_common_expressions_take_few_steps(expression: str) -> None:
    schedule = schedule_of(expression, "Europe/Berlin")
    moment = schedule.next_after(utc("2026-01-01"))
    assert moment is not None
    with counted() as steps:
        schedule.next_after(moment)
    assert steps.count <= FOR_COMMON


@pytest.mark.parametrize("expression", ["0 0 30 2 *", "0 0 31 2,4,6,9,11 *", "0 0 31W 2 ?", "* * * */31 2 MON#2"])
def test_what_never_happens_is_refused_in_few_steps(expression: str) -> None:
    with counted() as steps, pytest.raises(ScheduleError, match="never happens"):
        schedule_of(expression)
    assert steps.count <= FOR_ANY


def test_what_the_clocks_always_skip_is_refused_in_bounded_steps() -> None:
    with counted() as steps, pytest.raises(ScheduleError, match="never happens"):
        schedule_of("30 2 * 3 SUNL", "Europe/Paris", dst=policy("skip"))
    assert steps.count <= 20 * FOR_ANY


def test_a_second_question_for_the_same_moment_is_remembered() -> None:
    schedule = schedule_of("0 0 29 2 */7")
    answer = schedule.next_after(utc("2026-01-01"))
    with counted() as steps:
        assert schedule.next_after(utc("2026-01-01")) is answer
    assert steps.count <= 3


def test_each_month_takes_every_shape_within_the_calendars_cycle() -> None:
    for month in range(1, 13):
        assert {shape_of(year, month) for year in range(2000, 2400)} == set(shapes_of(month))


def test_no_two_leap_days_on_one_weekday_lie_more_than_40_years_apart() -> None:
    leaps = [year for year in range(2000, 2801) if shape_of(year, 2).length == 29]
    for first in range(7):
        years = [year for year in leaps if shape_of(year, 2).first == first]
        assert max(later - year for year, later in pairwise(years)) == 40
