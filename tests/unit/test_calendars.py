"""The use cases of CalendarService."""

from datetime import date

import pytest
from chronos.scheduler.v1 import calendar_pb2, job_pb2, stored_job_pb2, timing_pb2

from libs.faults import AlreadyExists, InvalidArgument, NotFound, Stale, WrongState
from services.scheduler.adapters.icalendar_text import ICalendarText
from services.scheduler.domain.schedule.calendar import day_set
from services.scheduler.timing.calendars import Calendars
from tests.fakes.calendars import FakeCalendarStore
from tests.fakes.clock import FakeClock
from tests.fakes.policies import no_policies
from tests.fakes.scheduler import FakeJobStore

Calendar = calendar_pb2.Calendar
HEAD = "BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:-//x//y//EN\nX-WR-CALNAME:Feiertage\n"


@pytest.fixture
def jobs() -> FakeJobStore:
    return FakeJobStore()


@pytest.fixture
def calendars(jobs: FakeJobStore) -> Calendars:
    return Calendars(FakeCalendarStore(), jobs, ICalendarText(), no_policies(), FakeClock())


async def create(calendars: Calendars, calendar: Calendar, *, validate_only: bool = False) -> Calendar:
    return await calendars.create(calendar, namespace="", validate_only=validate_only, author="key-1")


async def bring(calendars: Calendars, *events: str, merge: bool = False, name: str = "") -> Calendar:
    lines = "".join(f"BEGIN:VEVENT\n{event}\nEND:VEVENT\n" for event in events)
    text = f"{HEAD}{lines}END:VCALENDAR\n"
    return await calendars.import_file("", "holidays", icalendar=text, merge=merge, name=name, author="key-1")


def days(calendar: Calendar, year: int) -> list[str]:
    held = day_set(calendar.dates, calendar.weekdays, calendar.rules)
    first = date(year, 1, 1).toordinal()
    every = (date.fromordinal(first + number) for number in range(366))
    return [f"{day:%m-%d}" for day in every if day in held and day.year == year]


async def test_a_new_calendar_has_an_id_an_etag_and_an_author(calendars: Calendars) -> None:
    made = await create(calendars, Calendar(name="US holidays", dates=["2026-12-25"]))
    assert (made.namespace, made.id, made.updated_by) == ("default", "us-holidays", "key-1")
    assert made.etag
    assert made.HasField("created_at")
    assert await calendars.get("", "us-holidays") == made


async def test_an_id_is_taken_once_also_when_only_checked(calendars: Calendars) -> None:
    await create(calendars, Calendar(name="x"))
    for validate_only in (False, True):
        with pytest.raises(AlreadyExists):
            await create(calendars, Calendar(name="x"), validate_only=validate_only)


async def test_checking_changes_nothing(calendars: Calendars) -> None:
    assert (await create(calendars, Calendar(name="x"), validate_only=True)).etag == ""
    with pytest.raises(NotFound):
        await calendars.get("", "x")


async def test_everything_that_is_wrong_is_named_with_its_place(calendars: Calendars) -> None:
    wrong = Calendar(
        name="x",
        dates=["2026-12-25", "2026-02-30", "13-01", "2026-01-05/2026-01-01"],
        weekdays="SAT,SON",
        rules=["RRULE:FREQ=NEVER"],
    )
    with pytest.raises(InvalidArgument) as caught:
        await create(calendars, wrong)
    fields = [violation.field for violation in caught.value.violations]
    assert fields == ["dates[1]", "dates[2]", "dates[3]", "weekdays", "rules[0]"]
    assert all("for example" in violation.description for violation in caught.value.violations)
    assert "character 5" in caught.value.violations[3].description


async def test_weekends_are_built_in_and_reserved(calendars: Calendars) -> None:
    assert (await calendars.get("team-a", "weekends")).weekdays == "SAT,SUN"
    with pytest.raises(InvalidArgument, match="built-in"):
        await create(calendars, Calendar(name="Weekends"))
    with pytest.raises(WrongState):
        await calendars.replace("", "weekends", Calendar(name="x"), validate_only=False, author="")
    with pytest.raises(WrongState):
        await calendars.delete("", "weekends", etag="")


async def test_a_list_is_ordered_by_id_with_weekends_in_its_place(calendars: Calendars) -> None:
    for name in ("zebra", "alpha", "mike"):
        await create(calendars, Calendar(name=name))
    found: list[str] = []
    token = ""
    while True:
        page, token = await calendars.list("", size=1, token=token)
        found += [calendar.id for calendar in page]
        if not token:
            break
    assert found == ["alpha", "mike", "weekends", "zebra"]
    assert [c.id for c in (await calendars.list("", size=3, token=""))[0]] == ["alpha", "mike", "weekends"]
    assert [c.id for c in (await calendars.list("other", size=9, token=""))[0]] == ["weekends"]


async def test_replacing_takes_the_defaults_of_what_is_left_out(calendars: Calendars) -> None:
    made = await create(calendars, Calendar(name="x", dates=["2026-12-25"], weekdays="MON"))
    changed = await calendars.replace("", "x", Calendar(name="y", etag=made.etag), validate_only=False, author="key-2")
    assert (changed.name, list(changed.dates), changed.weekdays, changed.updated_by) == ("y", [], "", "key-2")
    assert changed.created_at == made.created_at
    with pytest.raises(Stale):
        await calendars.replace("", "x", Calendar(name="z", etag=made.etag), validate_only=False, author="")
    with pytest.raises(InvalidArgument, match="cannot be changed"):
        await calendars.replace("", "x", Calendar(name="z", id="other"), validate_only=False, author="")


async def test_a_calendar_that_jobs_use_is_not_deleted(calendars: Calendars, jobs: FakeJobStore) -> None:
    await create(calendars, Calendar(name="x"))
    for number in range(7):
        rule = timing_pb2.CalendarRule(exclude=["x"]) if number else timing_pb2.CalendarRule(include=["x"])
        job = job_pb2.Job(namespace="default", id=f"job-{number}", calendars=rule)
        await jobs.insert(stored_job_pb2.StoredJob(job=job))
    with pytest.raises(WrongState, match=r"job-0, job-1, job-2, job-3, job-4 and others"):
        await calendars.delete("", "x", etag="")
    jobs.jobs.clear()
    await calendars.delete("", "x", etag="")
    with pytest.raises(NotFound):
        await calendars.delete("", "x", etag="")


async def test_all_day_events_of_one_and_of_several_days(calendars: Calendars) -> None:
    made = await bring(
        calendars,
        "UID:1\nSUMMARY:Christmas\nDTSTART;VALUE=DATE:20261225\nDTEND;VALUE=DATE:20261227",
        "UID:2\nSUMMARY:One\nDTSTART;VALUE=DATE:20260501",
        "UID:3\nSUMMARY:Long\nDTSTART;VALUE=DATE:20260601\nDURATION:P3D",
    )
    assert (made.id, made.name) == ("holidays", "Feiertage")
    assert list(made.dates) == ["2026-05-01", "2026-06-01/2026-06-03", "2026-12-25/2026-12-26"]


async def test_timed_events_count_by_the_dates_of_their_own_zone(calendars: Calendars) -> None:
    made = await bring(
        calendars,
        "UID:1\nSUMMARY:a\nDTSTART;TZID=America/New_York:20260310T220000\nDTEND;TZID=America/New_York:20260311T020000",
        "UID:2\nSUMMARY:b\nDTSTART:20260501T100000Z\nDTEND:20260502T000000Z",
    )
    assert list(made.dates) == ["2026-03-10/2026-03-11", "2026-05-01"]


async def test_recurring_events_are_kept_as_rules(calendars: Calendars) -> None:
    made = await bring(
        calendars,
        "UID:1\nSUMMARY:Thanksgiving\nDTSTART;VALUE=DATE:20251127\nRRULE:FREQ=YEARLY;BYMONTH=11;BYDAY=4TH",
        "UID:2\nSUMMARY:Xmas\nDTSTART;VALUE=DATE:20251224\nDTEND;VALUE=DATE:20251227\nRRULE:FREQ=YEARLY",
    )
    assert not made.dates
    assert made.rules[0] == "DTSTART:20251127\nRRULE:FREQ=YEARLY;BYDAY=4TH;BYMONTH=11"
    assert days(made, 2026) == ["11-26", "12-24", "12-25", "12-26"]
    assert days(made, 2024) == []


async def test_exdate_rdate_until_and_moved_occurrences(calendars: Calendars) -> None:
    made = await bring(
        calendars,
        "UID:1\nSUMMARY:a\nDTSTART;TZID=Europe/Berlin:20260105T090000\nDTEND;TZID=Europe/Berlin:20260105T100000\n"
        "RRULE:FREQ=WEEKLY;UNTIL=20260209T080000Z\nEXDATE;TZID=Europe/Berlin:20260119T090000\n"
        "RDATE;TZID=Europe/Berlin:20260401T090000",
        "UID:1\nSUMMARY:a\nRECURRENCE-ID;TZID=Europe/Berlin:20260126T090000\n"
        "DTSTART;TZID=Europe/Berlin:20260128T090000\nDTEND;TZID=Europe/Berlin:20260128T100000",
        "UID:2\nSUMMARY:gone\nSTATUS:CANCELLED\nDTSTART;VALUE=DATE:20260701",
    )
    assert days(made, 2026) == ["01-05", "01-12", "01-28", "02-02", "02-09", "04-01"]


async def test_an_import_replaces_or_merges(calendars: Calendars) -> None:
    await bring(calendars, "UID:1\nSUMMARY:a\nDTSTART;VALUE=DATE:20260101", name="Mine")
    merged = await bring(calendars, "UID:2\nSUMMARY:b\nDTSTART;VALUE=DATE:20260102", merge=True)
    assert (merged.name, list(merged.dates)) == ("Mine", ["2026-01-01", "2026-01-02"])
    replaced = await bring(calendars, "UID:2\nSUMMARY:b\nDTSTART;VALUE=DATE:20260103")
    assert list(replaced.dates) == ["2026-01-03"]


@pytest.mark.parametrize(
    "text",
    [
        "hello",
        "",
        "BEGIN:VCALENDAR",
        f"{HEAD}END:VCALENDAR\n",
        "BEGIN:VEVENT\nEND:VEVENT",
        f"{HEAD}BEGIN:VEVENT\nSUMMARY:x\nEND:VEVENT\nEND:VCALENDAR\n",
        f"{HEAD}BEGIN:VEVENT\nSUMMARY:x\nDTSTART:tomorrow\nEND:VEVENT\nEND:VCALENDAR\n",
        f"{HEAD}BEGIN:VEVENT\nSUMMARY:x\nDTSTART:20260101T000000Z\nRRULE:FREQ=HOURLY\nEND:VEVENT\nEND:VCALENDAR\n",
        f"{HEAD}BEGIN:VEVENT\nSUMMARY:x\nDTSTART:20260101T000000Z\nRRULE:FREQ=SOMETIMES\nEND:VEVENT\nEND:VCALENDAR\n",
        f"{HEAD}BEGIN:VEVENT\nSUMMARY:x\nDTSTART;VALUE=DATE:20260101\nDTEND;VALUE=DATE:20280101\nEND:VEVENT\n"
        "END:VCALENDAR\n",
        f"{HEAD}BEGIN:VEVENT\nSUMMARY:x\nDTSTART;VALUE=DATE:20260101\nDTEND;VALUE=DATE:20260103\n"
        "RRULE:FREQ=MONTHLY;BYDAY=1MO\nEND:VEVENT\nEND:VCALENDAR\n",
        f"{HEAD}BEGIN:VEVENT\nSUMMARY:x\nDTSTART:20260101T000000Z\nRRULE:FREQ=DAILY;UNTIL=00260209T080000Z\nEND:VEVENT\n"
        "END:VCALENDAR\n",
        f"{HEAD}BEGIN:VEVENT\nSUMMARY:x\nDTSTART:20260101T000000Z\nRDATE;VALUE=PERIOD:090000Z/PT1H\nEND:VEVENT\n"
        "END:VCALENDAR\n",
        "\x00\x01\x02",
    ],
)
async def test_what_is_no_calendar_file_is_refused_with_its_field(calendars: Calendars, text: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await calendars.import_file("", "h", icalendar=text, merge=False, name="", author="")
    assert [violation.field for violation in caught.value.violations] == ["icalendar"]
