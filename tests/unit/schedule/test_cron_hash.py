"""`H` fields."""

from collections import Counter

import pytest

from services.scheduler.domain.schedule.cron_text import read_cron
from services.scheduler.domain.schedule.errors import ScheduleError
from tests.unit.schedule.asking import occurrences, schedule_of, utc

SEEDS = [f"default/job-{n}" for n in range(2000)]


def numbers(mask: int) -> list[int]:
    return [n for n in range(64) if mask >> n & 1]


def test_a_hash_stays_the_same_between_releases() -> None:
    fields = read_cron("H H H H H H", "default/report")
    found = [numbers(mask) for mask in (fields.seconds, fields.minutes, fields.hours, fields.days.month_days)]
    assert [*found, numbers(fields.months), numbers(fields.days.weekdays)] == [[39], [26], [3], [2], [11], [2]]


def test_jobs_are_spread_evenly_over_every_minute() -> None:
    counts = Counter(numbers(read_cron("H * * * *", seed).minutes)[0] for seed in SEEDS)
    assert set(counts) == set(range(60))
    assert max(counts.values()) < 3 * min(counts.values())


@pytest.mark.parametrize("with_seconds", ["", "0 "])
def test_seconds_in_front_do_not_move_the_other_fields(with_seconds: str) -> None:
    assert read_cron(f"{with_seconds}H H H H H", "x") == read_cron("H H H H H", "x")


def test_a_hashed_day_exists_in_every_month() -> None:
    days = {numbers(read_cron("0 0 H * *", seed).days.month_days)[0] for seed in SEEDS}
    assert days == set(range(1, 29))


def test_a_hashed_weekday_is_each_of_seven() -> None:
    assert {read_cron("0 0 * * H", seed).days.weekdays for seed in SEEDS} == {1 << n for n in range(7)}


def test_a_step_begins_at_a_hashed_offset() -> None:
    found = {tuple(numbers(read_cron("H/15 * * * *", seed).minutes)) for seed in SEEDS}
    assert found == {(n, n + 15, n + 30, n + 45) for n in range(15)}


def test_a_range_bounds_the_hash_and_its_steps() -> None:
    assert {numbers(read_cron("H(10-14) * * * *", seed).minutes)[0] for seed in SEEDS} == set(range(10, 15))
    stepped = {tuple(numbers(read_cron("h(0-29)/10 * * * *", seed).minutes)) for seed in SEEDS}
    assert stepped == {(n, n + 10, n + 20) for n in range(10)}


def test_names_may_bound_a_hash() -> None:
    found = {read_cron("0 0 * * H(MON-FRI)", seed).days.weekdays for seed in SEEDS}
    assert found == {1 << n for n in range(1, 6)}


def test_a_hash_may_stand_in_a_list() -> None:
    assert all(30 in numbers(read_cron("H(0-9),30 * * * *", seed).minutes) for seed in SEEDS[:50])


def test_without_a_seed_a_hash_is_still_a_number() -> None:
    start = utc("2026-01-01")
    assert occurrences(schedule_of("H H * * *"), start, 3) == occurrences(schedule_of("H H * * *"), start, 3)


@pytest.mark.parametrize(
    ("expression", "part", "position"),
    [
        ("H(0-60) * * * *", "60", 4),
        ("H(5) * * * *", "H(5)", 0),
        ("H(9-5) * * * *", "9-5", 2),
        ("H(0-4)/10 * * * *", "H(0-4)", 0),
        ("H/60 * * * *", "60", 2),
        ("H-5 * * * *", "H", 0),
        ("H( * * * *", "H(", 0),
    ],
)
def test_a_hash_that_means_nothing_is_refused(expression: str, part: str, position: int) -> None:
    with pytest.raises(ScheduleError) as refusal:
        schedule_of(expression)
    assert (refusal.value.part, refusal.value.position) == (part, position)
