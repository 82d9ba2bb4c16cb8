"""Random rules against python-dateutil. CHRONOS_EXAMPLES sets how many; CI takes few."""

import os
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from services.scheduler.domain.schedule.errors import ScheduleError
from services.scheduler.domain.schedule.rrule import parse_rrule
from services.scheduler.domain.schedule.sequence import Schedule
from services.scheduler.domain.schedule.spec import DstPolicy
from tests.unit.schedule.rrule_strategies import Case, cases

EXAMPLES = int(os.getenv("CHRONOS_EXAMPLES", "200"))
TAKEN = 12
UTC_ZONE = ZoneInfo("UTC")
thorough = settings(
    max_examples=EXAMPLES,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # python-dateutil may take minutes for what shrinking finds
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def parse(case: Case) -> Schedule | None:
    try:
        return parse_rrule(case.text, UTC_ZONE, dst=DstPolicy(), anchor=datetime(2026, 1, 1, tzinfo=UTC))
    except ScheduleError as error:
        if "never happens" not in error.problem:
            raise
        return None


def first(schedule: Schedule | None, after: datetime, count: int) -> list[datetime]:
    found: list[datetime] = []
    moment: datetime | None = after.replace(tzinfo=UTC)
    while schedule is not None and moment is not None and len(found) < count:
        moment = schedule.next_after(moment)
        if moment is not None:
            found.append(moment.replace(tzinfo=None))
    return found


def oracle(case: Case) -> list[datetime]:
    try:
        return case.expected(TAKEN)
    except ValueError:  # python-dateutil sees at once that BYHOUR… and INTERVAL never meet
        return []


@given(cases(), st.data())
@thorough
def test_a_rule_means_what_dateutil_says(case: Case, data: st.DataObject) -> None:
    expected = oracle(case)
    schedule = parse(case)
    before = min([case.start, *case.extra]) - timedelta(seconds=1)
    found = first(schedule, before, TAKEN)
    if schedule is None:  # one rule of several that never happens is enough to be refused
        assert any(not oracle(Case(case.start, (rule,))) for rule in case.rules) or not expected
        return
    assert found[: len(expected)] == expected, case.text
    if len(expected) < TAKEN and not any(extra >= case.start for extra in found[len(expected) :]):
        assert len(found) == len(expected)
    assert all(one < other for one, other in pairwise(found))
    if len(expected) < 2:
        return
    moment = data.draw(st.datetimes(before, expected[-1] - timedelta(microseconds=1)))
    assert first(schedule, moment, 1) == [next(each for each in expected if each > moment)], case.text
    fresh = parse(case)
    assert first(fresh, moment, 1) == first(schedule, moment, 1)
