"""Recurrence rules: the examples of RFC 5545, what is refused and where, and that no search is endless."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from services.scheduler.domain.schedule.errors import ScheduleError
from services.scheduler.domain.schedule.rrule import parse_rrule
from services.scheduler.domain.schedule.rrule_days import Days, week_of
from services.scheduler.domain.schedule.sequence import Schedule
from services.scheduler.domain.schedule.spec import DstPolicy

ANCHOR = datetime(2026, 1, 1, 9, 30, 15, 250_000, tzinfo=UTC)
NEW_YORK = ZoneInfo("America/New_York")
LONG_AGO = datetime(1990, 1, 1, tzinfo=UTC)


def parse(text: str, zone: str = "UTC") -> Schedule:
    return parse_rrule(text, ZoneInfo(zone), dst=DstPolicy(), anchor=ANCHOR)


def moments(schedule: Schedule, after: datetime, count: int) -> list[datetime]:
    found: list[datetime] = []
    while len(found) < count and (following := schedule.next_after(after)) is not None:
        found.append(following)
        after = following
    return found


def walls(text: str, count: int, after: datetime = LONG_AGO, zone: str = "UTC") -> list[str]:
    return [f"{each.astimezone(ZoneInfo(zone)):%Y-%m-%dT%H:%M:%S}" for each in moments(parse(text, zone), after, count)]


# RFC 5545, 3.8.5.3: each starts at 09:00 on 2 September 1997 in New York, unless another day stands first.
# Times at 09:00 are given as dates; a full stop at the end means that no more follow.
RFC = """
FREQ=DAILY;COUNT=10 -> 97-09-02 97-09-03 97-09-04 97-09-05 97-09-06 97-09-07 97-09-08 97-09-09 97-09-10 97-09-11 .
FREQ=DAILY;INTERVAL=2 -> 97-09-02 97-09-04 97-09-06 97-09-08
FREQ=DAILY;INTERVAL=10;COUNT=5 -> 97-09-02 97-09-12 97-09-22 97-10-02 97-10-12 .
19980101 FREQ=YEARLY;UNTIL=20000131T140000Z;BYMONTH=1;BYDAY=SU,MO,TU,WE,TH,FR,SA -> 98-01-01 98-01-02 98-01-03
19980101 FREQ=DAILY;UNTIL=20000131T140000Z;BYMONTH=1 -> 98-01-01 98-01-02 98-01-03
FREQ=WEEKLY;COUNT=10 -> 97-09-02 97-09-09 97-09-16 97-09-23 97-09-30 97-10-07 97-10-14 97-10-21 97-10-28 97-11-04 .
FREQ=WEEKLY;UNTIL=19971007T000000Z -> 97-09-02 97-09-09 97-09-16 97-09-23 97-09-30 .
FREQ=WEEKLY;INTERVAL=2;WKST=SU -> 97-09-02 97-09-16 97-09-30 97-10-14
FREQ=WEEKLY;UNTIL=19971007T000000Z;WKST=SU;BYDAY=TU,TH -> 97-09-02 97-09-04 97-09-09 97-09-11 97-09-16 97-09-18
FREQ=WEEKLY;COUNT=4;WKST=SU;BYDAY=TU,TH -> 97-09-02 97-09-04 97-09-09 97-09-11 .
19970901 FREQ=WEEKLY;INTERVAL=2;UNTIL=19971224T000000Z;WKST=SU;BYDAY=MO,WE,FR -> 97-09-01 97-09-03 97-09-05 97-09-15
FREQ=WEEKLY;INTERVAL=2;COUNT=8;WKST=SU;BYDAY=TU,TH -> 97-09-02 97-09-04 97-09-16 97-09-18 97-09-30 97-10-02 97-10-14
19970905 FREQ=MONTHLY;COUNT=10;BYDAY=1FR -> 97-09-05 97-10-03 97-11-07 97-12-05 98-01-02 98-02-06 98-03-06 98-04-03
19970905 FREQ=MONTHLY;UNTIL=19971224T000000Z;BYDAY=1FR -> 97-09-05 97-10-03 97-11-07 97-12-05 .
19970907 FREQ=MONTHLY;INTERVAL=2;COUNT=10;BYDAY=1SU,-1SU -> 97-09-07 97-09-28 97-11-02 97-11-30 98-01-04 98-01-25
19970922 FREQ=MONTHLY;COUNT=6;BYDAY=-2MO -> 97-09-22 97-10-20 97-11-17 97-12-22 98-01-19 98-02-16 .
19970928 FREQ=MONTHLY;BYMONTHDAY=-3 -> 97-09-28 97-10-29 97-11-28 97-12-29 98-01-29 98-02-26
FREQ=MONTHLY;COUNT=10;BYMONTHDAY=2,15 -> 97-09-02 97-09-15 97-10-02 97-10-15 97-11-02 97-11-15 97-12-02 97-12-15
19970930 FREQ=MONTHLY;COUNT=10;BYMONTHDAY=1,-1 -> 97-09-30 97-10-01 97-10-31 97-11-01 97-11-30 97-12-01 97-12-31
19970910 FREQ=MONTHLY;INTERVAL=18;COUNT=10;BYMONTHDAY=10,11,12,13,14,15 -> 97-09-10 97-09-11 97-09-12 97-09-13
19970915 FREQ=MONTHLY;INTERVAL=18;COUNT=3;BYMONTHDAY=10,15 -> 97-09-15 99-03-10 99-03-15 .
FREQ=MONTHLY;INTERVAL=2;BYDAY=TU -> 97-09-02 97-09-09 97-09-16 97-09-23 97-09-30 97-11-04
19970610 FREQ=YEARLY;COUNT=10;BYMONTH=6,7 -> 97-06-10 97-07-10 98-06-10 98-07-10 99-06-10 99-07-10 00-06-10 00-07-10
19970310 FREQ=YEARLY;INTERVAL=2;COUNT=10;BYMONTH=1,2,3 -> 97-03-10 99-01-10 99-02-10 99-03-10 01-01-10 01-02-10
19970101 FREQ=YEARLY;INTERVAL=3;COUNT=10;BYYEARDAY=1,100,200 -> 97-01-01 97-04-10 97-07-19 00-01-01 00-04-09 00-07-18
19970519 FREQ=YEARLY;BYDAY=20MO -> 97-05-19 98-05-18 99-05-17
19970512 FREQ=YEARLY;BYWEEKNO=20;BYDAY=MO -> 97-05-12 98-05-11 99-05-17
19970313 FREQ=YEARLY;BYMONTH=3;BYDAY=TH -> 97-03-13 97-03-20 97-03-27 98-03-05 98-03-12
19970605 FREQ=YEARLY;BYDAY=TH;BYMONTH=6,7,8 -> 97-06-05 97-06-12 97-06-19 97-06-26 97-07-03
FREQ=MONTHLY;BYDAY=FR;BYMONTHDAY=13 -> 98-02-13 98-03-13 98-11-13 99-08-13 00-10-13
19970913 FREQ=MONTHLY;BYDAY=SA;BYMONTHDAY=7,8,9,10,11,12,13 -> 97-09-13 97-10-11 97-11-08 97-12-13 98-01-10 98-02-07
19961105 FREQ=YEARLY;INTERVAL=4;BYMONTH=11;BYDAY=TU;BYMONTHDAY=2,3,4,5,6,7,8 -> 96-11-05 00-11-07 04-11-02
19970904 FREQ=MONTHLY;COUNT=3;BYDAY=TU,WE,TH;BYSETPOS=3 -> 97-09-04 97-10-07 97-11-06 .
19970929 FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-2 -> 97-09-29 97-10-30 97-11-27 97-12-30 98-01-29
FREQ=HOURLY;INTERVAL=3;UNTIL=19970902T210000Z -> 97-09-02 97-09-02T12:00 97-09-02T15:00 .
FREQ=MINUTELY;INTERVAL=15;COUNT=5 -> 97-09-02 97-09-02T09:15 97-09-02T09:30 97-09-02T09:45 97-09-02T10:00 .
FREQ=MINUTELY;INTERVAL=90;COUNT=4 -> 97-09-02 97-09-02T10:30 97-09-02T12:00 97-09-02T13:30 .
FREQ=DAILY;BYHOUR=9,10,11,12,13,14,15,16;BYMINUTE=0,20,40 -> 97-09-02 97-09-02T09:20 97-09-02T09:40 97-09-02T10:00
FREQ=MINUTELY;INTERVAL=20;BYHOUR=9,10,11,12,13,14,15,16 -> 97-09-02 97-09-02T09:20 97-09-02T09:40 97-09-02T10:00
19970805 FREQ=WEEKLY;INTERVAL=2;COUNT=4;BYDAY=TU,SU;WKST=MO -> 97-08-05 97-08-10 97-08-19 97-08-24 .
19970805 FREQ=WEEKLY;INTERVAL=2;COUNT=4;BYDAY=TU,SU;WKST=SU -> 97-08-05 97-08-17 97-08-19 97-08-31 .
20070115 FREQ=MONTHLY;BYMONTHDAY=15,30;COUNT=5 -> 07-01-15 07-01-30 07-02-15 07-03-15 07-03-30 .
"""


@pytest.mark.parametrize("vector", RFC.strip().splitlines())
def test_the_examples_of_the_rfc_come_out(vector: str) -> None:
    said, _, expected = vector.partition(" -> ")
    rule, day = said.split(" ")[-1], said.split(" ")[0] if " " in said else "19970902"
    wanted, is_all = expected.removesuffix(".").split(), expected.endswith(".")
    times = [
        datetime.strptime(word if "T" in word else f"{word}T09:00", "%y-%m-%dT%H:%M").replace(tzinfo=NEW_YORK)
        for word in wanted
    ]
    schedule = parse(f"DTSTART;TZID=America/New_York:{day}T090000\nRRULE:{rule}")
    assert moments(schedule, LONG_AGO, len(times) + is_all) == times


def test_the_rfc_takes_the_first_day_away_with_exdate() -> None:
    text = "DTSTART:19970902T090000\nEXDATE:19970902T090000\nRRULE:FREQ=MONTHLY;BYDAY=FR;BYMONTHDAY=13"
    assert walls(text, 2) == ["1998-02-13T09:00:00", "1998-03-13T09:00:00"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("RRULE:FREQ=DAILY", ["2026-01-01T09:30:15", "2026-01-02T09:30:15"]),
        ("RRULE:FREQ=WEEKLY;BYHOUR=8", ["2026-01-08T08:30:15", "2026-01-15T08:30:15"]),
        ("rrule:freq=daily;byhour=8;byminute=0;bysecond=0", ["2026-01-02T08:00:00", "2026-01-03T08:00:00"]),
        ("DTSTART:20260105 RRULE:FREQ=DAILY", ["2026-01-05T00:00:00", "2026-01-06T00:00:00"]),
        ("DTSTART;VALUE=DATE:20260105\\nRRULE:FREQ=DAILY;COUNT=1", ["2026-01-05T00:00:00"]),
        ("DTSTART:20260105T090000 RRULE:FREQ=DAILY;UNTIL=20260106", ["2026-01-05T09:00:00", "2026-01-06T09:00:00"]),
        ("DTSTART:20260105T090000 RRULE:FREQ=DAILY;UNTIL=20260106T085959", ["2026-01-05T09:00:00"]),
        ("RDATE:20260301T120000,20260201T120000Z", ["2026-02-01T12:00:00", "2026-03-01T12:00:00"]),
        ("DTSTART:20260105T070000 RDATE;VALUE=DATE:20260301", ["2026-03-01T07:00:00"]),
        ("RDATE;TZID=Asia/Tokyo:20260301T120000", ["2026-03-01T03:00:00"]),
        ("RRULE:FREQ=YEARLY;BYMONTH=1;BYMONTHDAY=2 RRULE:FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=3",
         ["2026-01-02T09:30:15", "2026-02-03T09:30:15", "2027-01-02T09:30:15"]),
        ("DTSTART:20260105T090000 RRULE:FREQ=DAILY;COUNT=3 EXDATE:20260106",
         ["2026-01-05T09:00:00", "2026-01-07T09:00:00"]),
        ("DTSTART:20260105T090000 RRULE:FREQ=DAILY;COUNT=2 EXDATE:20260105T090000Z", ["2026-01-06T09:00:00"]),
        ("DTSTART:20260105T090000 RRULE:FREQ=HOURLY;COUNT=20 EXDATE:20260105", ["2026-01-06T00:00:00"]),
        ("DTSTART:20260105T090000 RRULE:FREQ=DAILY;BYSECOND=60;COUNT=1", ["2026-01-05T09:00:59"]),
        ("DTSTART:20260105T090000 RRULE:FREQ=YEARLY;BYWEEKNO=20;COUNT=1", ["2026-05-11T09:00:00"]),
        ("DTSTART:20260105T090000 RRULE:FREQ=MONTHLY;BYDAY=WE,1MO;COUNT=3",
         ["2026-01-05T09:00:00", "2026-01-07T09:00:00", "2026-01-14T09:00:00"]),
    ],
)  # fmt: skip
def test_a_text_means_these_moments(text: str, expected: list[str]) -> None:
    assert walls(text, 3)[: len(expected)] == expected
    if "COUNT" in text or "UNTIL" in text or "RRULE" not in text.upper():
        assert len(walls(text, 20)) < 20


def test_a_start_is_no_occurrence_unless_the_rule_means_it() -> None:
    assert walls("DTSTART:20260105T090000 RRULE:FREQ=WEEKLY;BYDAY=TU", 1) == ["2026-01-06T09:00:00"]


@pytest.mark.parametrize(
    ("text", "part", "position"),
    [
        ("RRULE:FREQ=DAILY;COUNT=10;UNTIL=20270101", "20270101", 32),
        ("RRULE:FREQ=FORTNIGHTLY", "FORTNIGHTLY", 11),
        ("RRULE:INTERVAL=2", "INTERVAL=2", 6),
        ("RRULE:FREQ=DAILY;INTERVAL=0", "0", 26),
        ("RRULE:FREQ=DAILY;COUNT=100001", "100001", 23),
        ("RRULE:FREQ=DAILY;COUNT=²", "²", 23),
        ("RRULE:FREQ=DAILY;BYHOUR=1,25", "25", 26),
        ("RRULE:FREQ=DAILY;BYHOUR=-1", "-1", 24),
        ("RRULE:FREQ=MONTHLY;BYMONTHDAY=0", "0", 30),
        ("RRULE:FREQ=MONTHLY;BYMONTHDAY=1,,2", "", 32),
        ("RRULE:FREQ=DAILY;BYDAY=MO,1TU", "MO,1TU", 23),
        ("RRULE:FREQ=WEEKLY;BYDAY=XX", "XX", 24),
        ("RRULE:FREQ=MONTHLY;BYDAY=0MO", "0MO", 25),
        ("RRULE:FREQ=YEARLY;BYWEEKNO=2;BYDAY=1MO", "1MO", 35),
        ("RRULE:FREQ=WEEKLY;BYMONTHDAY=3", "3", 29),
        ("RRULE:FREQ=MONTHLY;BYYEARDAY=3", "3", 29),
        ("RRULE:FREQ=DAILY;BYYEARDAY=3", "3", 27),
        ("RRULE:FREQ=MONTHLY;BYWEEKNO=3", "3", 28),
        ("RRULE:FREQ=MONTHLY;BYSETPOS=1", "1", 28),
        ("RRULE:FREQ=MONTHLY;BYDAY=MO;BYSETPOS=0", "0", 37),
        ("RRULE:FREQ=DAILY;WKST=1", "1", 22),
        ("RRULE:FREQ=DAILY;BYEASTER=1", "BYEASTER=1", 17),
        ("RRULE:RSCALE=HEBREW;FREQ=DAILY", "RSCALE=HEBREW", 6),
        ("RRULE:FREQ=DAILY;SKIP=OMIT", "SKIP=OMIT", 17),
        ("RRULE:FREQ=DAILY;FREQ=DAILY", "FREQ=DAILY", 17),
        ("RRULE:FREQ=DAILY;", "", 17),
        ("RRULE:FREQ=DAILY;BYHOUR=", "BYHOUR=", 17),
        ("RRULE;X=1:FREQ=DAILY", "X=1", 6),
        ("RRULE:", "RRULE:", 0),
        ("RRULE:FREQ=DAILY UNTIL=3", "UNTIL=3", 17),
        ("RRULE:FREQ=DAILY\nEXRULE:FREQ=WEEKLY", "EXRULE:FREQ=WEEKLY", 17),
        ("RRULE:FREQ=DAILY\\nEXDATE:2026", "2026", 25),
        ("DTSTART:20260230T090000 RRULE:FREQ=DAILY", "20260230T090000", 8),
        ("DTSTART:20260101T090061 RRULE:FREQ=DAILY", "20260101T090061", 8),
        ("DTSTART:18000101 RRULE:FREQ=DAILY", "18000101", 8),
        ("DTSTART;TZID=Europe/Brlin:20260101T090000 RRULE:FREQ=DAILY", "Europe/Brlin", 13),
        ("DTSTART;TZID=:20260101T090000 RRULE:FREQ=DAILY", "", 13),
        ("RRULE:FREQ=DAILY EXDATE:2026010٣", "٣", 31),
        ("DTSTART;TZID=Europe/Berlin:20260101T090000Z RRULE:FREQ=DAILY", "20260101T090000Z", 27),
        ("DTSTART;VALUE=DATE:20260101T090000 RRULE:FREQ=DAILY", "20260101T090000", 19),
        ("DTSTART;LANG=en:20260101 RRULE:FREQ=DAILY", "LANG=en", 8),
        ("DTSTART:20260101 DTSTART:20260101 RRULE:FREQ=DAILY", "DTSTART:20260101", 17),
        ("DTSTART:20260101 RRULE:FREQ=DAILY;BYHOUR=9", "FREQ=DAILY;BYHOUR=9", 23),
        ("DTSTART:20260101 RRULE:FREQ=HOURLY", "FREQ=HOURLY", 23),
        ("RDATE;VALUE=PERIOD:20260101T000000Z/PT1H", "PERIOD", 12),
        ("RDATE:20260101T000000Z/PT1H", "20260101T000000Z/PT1H", 6),
        ("DTSTART:20260101T090000", "DTSTART:20260101T090000", 0),
        ("DTSTART:20260101T090000 RRULE:FREQ=DAILY;UNTIL=20251231", "FREQ=DAILY;UNTIL=20251231", 30),
        ("RRULE:FREQ=DAILY RRULE:FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", 23),
        ("RRULE:FREQ=DAILY;COUNT=1 EXDATE:20260101", "RRULE:FREQ=DAILY;COUNT=1 EXDATE:20260101", 0),
    ],
)
def test_a_refusal_names_the_part_its_place_and_an_example(text: str, part: str, position: int) -> None:
    with pytest.raises(ScheduleError) as caught:
        parse(text)
    assert caught.value.field == "schedule"
    assert (caught.value.part, caught.value.position) == (part, position)
    assert text[position : position + len(part)] == part
    assert caught.value.example


@pytest.mark.parametrize(
    "example",
    [
        "WEEKLY;BYDAY=MO,FR",
        "MONTHLY;BYDAY=2MO",
        "YEARLY;BYWEEKNO=20;BYDAY=MO",
        "DAILY;COUNT=10",
        "MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1",
        "YEARLY;BYYEARDAY=100",
    ],
)
def test_the_examples_of_refusals_are_right(example: str) -> None:
    assert parse(f"RRULE:FREQ={example}").next_after(ANCHOR) is not None


@pytest.mark.parametrize(
    "rule",
    [
        "FREQ=SECONDLY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=MINUTELY;BYMONTH=4;BYMONTHDAY=31;BYHOUR=1",
        "FREQ=HOURLY;BYYEARDAY=366;BYMONTH=1",
        "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30,31",
        "FREQ=MONTHLY;INTERVAL=12;BYMONTH=2",
        "FREQ=YEARLY;BYWEEKNO=30;BYMONTH=1",
        "FREQ=YEARLY;BYYEARDAY=1;BYMONTHDAY=2",
        "FREQ=HOURLY;INTERVAL=24;BYHOUR=10",
        "FREQ=SECONDLY;INTERVAL=60;BYSECOND=30",
        "FREQ=MONTHLY;BYDAY=1MO;BYSETPOS=2",
    ],
)
def test_a_rule_that_never_happens_is_refused_after_bounded_work(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = 0
    contains = Days.__contains__

    def counted(self: Days, day: date) -> bool:
        nonlocal asked
        asked += 1
        return contains(self, day)

    monkeypatch.setattr(Days, "__contains__", counted)
    with pytest.raises(ScheduleError, match="never happens"):
        parse(f"DTSTART:20260101T090000 RRULE:{rule}")
    assert asked < 200_000


def test_a_sparse_rule_is_found() -> None:
    found = walls("RRULE:FREQ=SECONDLY;BYMONTH=2;BYMONTHDAY=29;BYDAY=MO;BYHOUR=9;BYMINUTE=0;BYSECOND=0", 3)
    assert found == ["2044-02-29T09:00:00", "2072-02-29T09:00:00", "2112-02-29T09:00:00"]


@pytest.mark.parametrize(
    "rule",
    [
        "FREQ=SECONDLY",
        "FREQ=SECONDLY;INTERVAL=7;BYHOUR=9",
        "FREQ=MINUTELY;BYMONTH=3",
        "FREQ=HOURLY;INTERVAL=5",
        "FREQ=DAILY",
        "FREQ=DAILY;INTERVAL=3;BYDAY=MO",
        "FREQ=WEEKLY;INTERVAL=2",
        "FREQ=MONTHLY;BYDAY=-1FR",
        "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29",
    ],
)
def test_a_rule_without_count_is_not_followed_from_its_start(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = 0
    contains = Days.__contains__

    def counted(self: Days, day: date) -> bool:
        nonlocal asked
        asked += 1
        return contains(self, day)

    schedule = parse(f"DTSTART:19000101T000000 RRULE:{rule}")
    monkeypatch.setattr(Days, "__contains__", counted)
    assert schedule.next_after(datetime(8500, 5, 6, 7, 8, 9, tzinfo=UTC)) is not None
    assert asked < 2_000


def test_a_rule_with_count_ends_with_its_last_occurrence() -> None:
    schedule = parse("DTSTART:20260101T000000 RRULE:FREQ=SECONDLY;COUNT=100000")
    last = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=99_999)
    assert schedule.next_after(last - timedelta(seconds=1)) == last
    assert schedule.next_after(last) is None
    assert schedule.next_after(LONG_AGO) == datetime(2026, 1, 1, tzinfo=UTC)


def test_the_ends_of_time_are_no_obstacle() -> None:
    schedule = parse("DTSTART:20260101T000000 RRULE:FREQ=DAILY", "Pacific/Kiritimati")
    assert schedule.next_after(datetime.max.replace(tzinfo=UTC)) is None
    assert schedule.next_after(datetime.min.replace(tzinfo=UTC)) == datetime(2025, 12, 31, 10, tzinfo=UTC)
    assert parse("RRULE:FREQ=YEARLY;INTERVAL=1000000").next_after(ANCHOR) is None


def test_many_excluded_days_are_passed_over_day_by_day() -> None:
    days = ",".join(f"{date(2026, 1, 1) + timedelta(days=day):%Y%m%d}" for day in range(600))
    schedule = parse(f"DTSTART:20260101T000000 RRULE:FREQ=SECONDLY EXDATE:{days}")
    assert schedule.next_after(ANCHOR) == datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=600)


@pytest.mark.parametrize("number", [-52, -2, -1, 1, 52, 53])
def test_weeks_counted_from_either_end_are_those_of_iso_8601(number: int) -> None:
    days = [date(1995, 1, 1) + timedelta(days=step) for step in range(40 * 366)]
    expected = []
    for day in days:
        year, week, _ = day.isocalendar()
        last = date(year, 12, 28).isocalendar().week
        if week == (number if number > 0 else last + 1 + number):
            expected.append(f"{day:%Y-%m-%d}T00:00:00")
    found = walls(f"DTSTART:19950101T000000 RRULE:FREQ=YEARLY;BYWEEKNO={number};BYDAY=MO,TU,WE,TH,FR,SA,SU", 60)
    assert found[: len(expected)] == expected[:60]


@pytest.mark.parametrize("week_start", range(7))
def test_weeks_are_numbered_as_iso_8601_does(week_start: int) -> None:
    day = date(1995, 1, 1)
    numbers = []
    while day < date(2030, 1, 1):
        number, count = week_of(day, week_start)
        shifted = (day - timedelta(days=week_start)).isocalendar()
        if week_start == 0:
            assert number == shifted.week
        assert 1 <= number <= count <= 53
        if day.weekday() == week_start:
            numbers.append((number, count))
        day += timedelta(days=1)
    assert all(after[0] == (1 if before[0] == before[1] else before[0] + 1) for before, after in pairwise(numbers))
