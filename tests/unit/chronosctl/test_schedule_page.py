"""The next runs, the meanings and the errors that docs/schedules.md tells are what the code says."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from services.scheduler.domain.schedule.describe import describe
from services.scheduler.domain.schedule.errors import ScheduleError
from services.scheduler.domain.schedule.job_schedule import build_schedule
from services.scheduler.domain.schedule.spec import ScheduleSpec

PAGE = (Path(__file__).parents[3] / "docs" / "schedules.md").read_text()
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
TIME = r"[A-Z][a-z]{2} \d{4}-\d\d-\d\d \d\d:\d\d(?::\d\d)?"
ROW = re.compile(rf"^\|(?P<cells>.*)\| (?P<runs>{TIME}(?:, {TIME})*) \|$", re.MULTILINE)
ERROR = re.compile(r"^\| `(?P<text>[^`]*)` \| `(?P<error>.* for example: .*)` \|$", re.MULTILINE)


def spec(text: str) -> ScheduleSpec:
    return ScheduleSpec(expression=text, seed="default/nightly-report", anchor=NOW)


def rows() -> list[tuple[str, str, str]]:
    """Expression, description (empty in most tables) and runs of each row that has runs."""
    found = []
    for row in ROW.finditer(PAGE):
        cells = [cell.strip() for cell in row["cells"].split("|")]
        has_character = len(cells) == 4  # character, meaning, example, description
        found.append((cells[2 if has_character else 0].strip("`"), cells[3] if has_character else "", row["runs"]))
    return found


def test_the_page_has_its_tables() -> None:
    assert len(rows()) > 40
    assert len(ERROR.findall(PAGE)) > 8


@pytest.mark.parametrize(("text", "description", "runs"), rows(), ids=lambda value: value[:40])
def test_the_next_runs_of_the_page_are_right(text: str, description: str, runs: str) -> None:
    schedule, moment = build_schedule(spec(text), {}), NOW
    for shown in runs.split(", "):
        following = schedule.next_after(moment)
        assert following is not None
        seconds = ":%S" if following.second else ""
        assert f"{following:%a %Y-%m-%d %H:%M{seconds}}" == shown
        moment = following
    if description:
        assert describe(spec(text)).removesuffix(", UTC") == description


@pytest.mark.parametrize(("text", "error"), ERROR.findall(PAGE))
def test_the_errors_of_the_page_are_right(text: str, error: str) -> None:
    with pytest.raises(ScheduleError) as refused:
        build_schedule(spec(text), {})
    assert str(refused.value) == error
