"""Windows: wall times of a zone, and what the clocks make of them."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from services.scheduler.domain.schedule.errors import ScheduleError
from services.scheduler.domain.schedule.spec import WindowSpec
from services.scheduler.domain.schedule.windows import Window, Windows, parse_window

BERLIN = ZoneInfo("Europe/Berlin")


def window(**fields: str) -> Window:
    return parse_window(WindowSpec(**fields), BERLIN, field="active_windows[0]")


def local(text: str, fold: int = 0) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN, fold=fold).astimezone(UTC)


def test_the_begin_is_inside_and_the_end_is_not() -> None:
    office = window(days="MON-FRI", start="09:00", end="17:30")
    assert office.is_open(local("2026-06-01T09:00"))
    assert office.is_open(local("2026-06-01T17:29:59"))
    assert not office.is_open(local("2026-06-01T17:30"))
    assert not office.is_open(local("2026-06-06T12:00"))
    assert office.next_open(local("2026-06-05T18:00")) == local("2026-06-08T09:00")
    assert office.next_close(local("2026-06-01T12:00")) == local("2026-06-01T17:30")


def test_an_end_that_is_not_later_is_on_the_next_day() -> None:
    night = window(days="FRI", start="22:00", end="06:00")
    assert night.is_open(local("2026-06-06T05:59"))
    assert not night.is_open(local("2026-06-05T05:59"))
    whole = window(start="09:00", end="09:00")
    assert whole.is_open(local("2026-06-06T09:00"))
    assert whole.is_open(local("2026-06-06T08:59"))


def test_no_fields_mean_always() -> None:
    assert window().is_open(local("2026-06-06T00:00"))
    assert window(end="24:00").is_open(local("2026-06-06T23:59:59"))


def test_the_day_on_which_a_window_begins_decides_about_its_dates() -> None:
    freeze = window(start="22:00", end="06:00", first_date="2026-12-24", last_date="2026-12-31")
    assert not freeze.is_open(local("2026-12-24T05:00"))
    assert freeze.is_open(local("2027-01-01T05:59"))
    assert not freeze.is_open(local("2027-01-01T22:00"))
    assert freeze.next_open(local("2020-01-01T00:00")) == local("2026-12-24T22:00")
    assert freeze.state(local("2027-02-01T00:00")) == (False, None)


def test_a_begin_in_the_gap_means_the_jump_and_a_window_inside_the_gap_is_not_there() -> None:
    assert window(start="02:30", end="04:00").next_open(local("2026-03-29T00:00")) == local("2026-03-29T03:00")
    assert window(start="02:10", end="02:50").next_open(local("2026-03-29T00:00")) == local("2026-03-30T02:10")


def test_a_repeated_hour_is_inside_both_times() -> None:
    early = window(start="01:00", end="02:30")
    assert early.is_open(local("2026-10-25T02:15"))
    assert early.is_open(local("2026-10-25T02:15", fold=1))
    assert not early.is_open(local("2026-10-25T02:30", fold=1))
    late = window(start="02:30", end="04:00")
    assert late.is_open(local("2026-10-25T02:45"))
    assert late.is_open(local("2026-10-25T02:45", fold=1))


def test_its_own_zone_counts() -> None:
    assert window(start="09:00", end="10:00", timezone="Asia/Tokyo").is_open(datetime(2026, 6, 1, 0, 30, tzinfo=UTC))


def test_blackouts_come_before_active_windows() -> None:
    spec = WindowSpec(start="09:00", end="17:00"), WindowSpec(start="12:00", end="13:00")
    windows = Windows([(window(start="09:00", end="17:00"), spec[0])], [(window(start="12:00", end="13:00"), spec[1])])
    assert windows.at(local("2026-06-01T08:00")).reason == "outside the active windows (09:00 to 17:00)"
    assert windows.at(local("2026-06-01T08:00")).until == local("2026-06-01T09:00")
    assert windows.at(local("2026-06-01T09:00")).reason == ""
    assert windows.at(local("2026-06-01T09:00")).until == local("2026-06-01T12:00")
    assert windows.at(local("2026-06-01T12:30")).reason == "inside blackout window 0 (12:00 to 13:00)"
    assert windows.at(local("2026-06-01T12:30")).until == local("2026-06-01T13:00")


def test_what_is_said_holds_until_the_instant_that_is_said() -> None:
    odd = window(days="SUN", start="01:45", end="02:15")
    instant = local("2026-03-01T00:00")
    for _ in range(100):
        is_open, until = odd.state(instant)
        assert until is not None
        step = (until - instant) / 7
        assert all(odd.is_open(instant + number * step) == is_open for number in range(7))
        assert step > timedelta(0)
        instant = until


@pytest.mark.parametrize(
    ("fields", "field", "part"),
    [
        ({"start": "9"}, "start", "9"),
        ({"start": "25:00"}, "start", "25:00"),
        ({"start": "24:00"}, "start", "24:00"),
        ({"end": "9:5"}, "end", "9:5"),
        ({"days": "MON-FRY"}, "days", "FRY"),
        ({"first_date": "2026-02-30"}, "first_date", "2026-02-30"),
        ({"first_date": "2026-02-03", "last_date": "2026-02-02"}, "last_date", "2026-02-02"),
        ({"timezone": "Mars/Olympus"}, "timezone", "Mars/Olympus"),
    ],
)
def test_what_means_no_window_is_refused_with_its_place(fields: dict[str, str], field: str, part: str) -> None:
    with pytest.raises(ScheduleError) as caught:
        window(**fields)
    assert (caught.value.field, caught.value.part) == (f"active_windows[0].{field}", part)
    assert caught.value.example
