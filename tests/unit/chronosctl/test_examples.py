"""Every example is a file that chronosctl reads, and that the server would take."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from chronos.scheduler.v1.calendar_pb2 import Calendar
from chronos.scheduler.v1.job_pb2 import Job
from chronos.scheduler.v1.namespace_pb2 import Namespace
from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message

from cli.chronosctl.documents import CALENDARS, JOBS, NAMESPACES, read_bundle
from libs.rpc.validation import violations_of
from services.scheduler.adapters.icalendar_text import ICalendarText
from services.scheduler.convert.schedule import spec_of
from services.scheduler.domain.schedule.calendar import WEEKENDS, day_set
from services.scheduler.domain.schedule.job_schedule import build_schedule

FOLDER = Path(__file__).parents[3] / "examples"
FILES = sorted(FOLDER.glob("*.yaml"))
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def parsed(kind: type[Message], documents: list[dict[str, Any]]) -> list[Any]:
    found = [ParseDict(document, kind()) for document in documents]
    assert [violation for message in found for violation in violations_of(message)] == []
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_an_example_is_what_the_contract_asks_for(path: Path) -> None:
    bundle = read_bundle(str(path))
    parsed(Namespace, bundle[NAMESPACES])
    calendars = parsed(Calendar, bundle[CALENDARS])
    jobs = parsed(Job, bundle[JOBS])
    days = {item.id: day_set(item.dates, item.weekdays, item.rules) for item in calendars} | {"weekends": WEEKENDS}
    assert jobs
    for job in jobs:
        if job.dependencies.depends_on:
            assert not job.schedule
            continue
        assert build_schedule(spec_of(job, counts_from=NOW), days).next_after(NOW) is not None


def test_each_example_is_in_the_list_of_examples() -> None:
    listed = (FOLDER / "README.md").read_text()
    on_disk = [path.name for path in FOLDER.iterdir() if path.suffix in (".yaml", ".ics", ".py")]
    assert [name for name in on_disk if f"]({name})" not in listed] == []


def test_the_example_of_an_icalendar_file_has_its_days() -> None:
    calendar = ICalendarText().read((FOLDER / "holidays.ics").read_text())
    days = day_set(calendar.dates, calendar.weekdays, calendar.rules)
    held = [datetime(2028, 1, 1), datetime(2027, 3, 28), datetime(2027, 11, 25)]
    assert [moment.date() in days for moment in held] == [True, True, True]
    assert datetime(2027, 3, 30).date() not in days
