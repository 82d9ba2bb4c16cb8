"""Short ways to ask a schedule."""

from datetime import UTC, datetime

from services.scheduler.domain.schedule.parse import parse_schedule
from services.scheduler.domain.schedule.sequence import Schedule
from services.scheduler.domain.schedule.spec import DstPolicy, RepeatedTime, SkippedTime

ANCHOR = datetime(2026, 1, 1, tzinfo=UTC)
DEFAULT = DstPolicy()


def schedule_of(expression: str, timezone: str = "UTC", *, dst: DstPolicy = DEFAULT, seed: str = "") -> Schedule:
    return parse_schedule(expression, timezone, dst=dst, seed=seed, anchor=ANCHOR)


def policy(skipped: str = "next_valid", repeated: str = "first") -> DstPolicy:
    return DstPolicy(skipped=SkippedTime(skipped), repeated=RepeatedTime(repeated))


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def occurrences(schedule: Schedule, start: datetime, count: int) -> list[datetime]:
    found: list[datetime] = []
    while len(found) < count and (following := schedule.next_after(start)) is not None:
        found.append(following)
        start = following
    return found


def occurrences_until(schedule: Schedule, start: datetime, end: datetime) -> list[datetime]:
    found: list[datetime] = []
    while (following := schedule.next_after(start)) is not None and following <= end:
        assert following > start
        found.append(following)
        start = following
    return found
