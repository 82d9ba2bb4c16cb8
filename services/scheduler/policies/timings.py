"""How often jobs fire, worked out once for all jobs that fire together."""

import asyncio
import re
from collections.abc import Hashable, Mapping
from datetime import datetime, timedelta

from chronos.policy.v1 import decision_service_pb2
from chronos.scheduler.v1 import job_pb2, stored_job_pb2

from services.scheduler.convert.firing import calendars_of, job_schedule
from services.scheduler.domain.schedule.calendar import DaySet
from services.scheduler.domain.schedule.errors import ScheduleError
from services.scheduler.jobs.resource import TIME_FIELDS
from services.scheduler.policies.facts import timing_of

Timing = decision_service_pb2.Timing
REMEMBERED = timedelta(minutes=1)
MOST_KEPT = 10_000
# Schedules whose times depend on the job: on its id (`H`), or on when it was created.
OWN_TIMES = re.compile(r"@EVERY|RRULE|RDATE|(?<![A-Z])H")


class Timings:
    """Remembers for a minute: a look at a schedule takes some 10 ms, and a dry run looks at thousands."""

    def __init__(self) -> None:
        self._kept: dict[Hashable, Timing | None] = {}
        self._since: datetime | None = None

    async def of(
        self, stored: stored_job_pb2.StoredJob, calendars: Mapping[str, DaySet], now: datetime
    ) -> Timing | None:
        """None without a schedule, and for one that cannot be read (of a job that is only tried out)."""
        if self._since is None or not self._since <= now < self._since + REMEMBERED or len(self._kept) >= MOST_KEPT:
            self._kept, self._since = {}, now
        key = _key(stored, calendars)
        if key not in self._kept:
            self._kept[key] = await asyncio.to_thread(_look, stored, calendars, now)
        return self._kept[key]


def _look(stored: stored_job_pb2.StoredJob, calendars: Mapping[str, DaySet], now: datetime) -> Timing | None:
    try:
        schedule = job_schedule(stored, calendars)
    except ScheduleError:
        return None
    return timing_of(schedule, now) if schedule is not None else None


def _key(stored: stored_job_pb2.StoredJob, calendars: Mapping[str, DaySet]) -> Hashable:
    """What jobs that fire together have in common."""
    job, times = stored.job, job_pb2.Job()
    times.CopyFrom(job)
    for field, _ in job.ListFields():
        if field.name not in TIME_FIELDS:
            times.ClearField(field.name)  # type: ignore[arg-type]
    days = tuple(calendars.get(name) for name in calendars_of(job))
    is_own = OWN_TIMES.search(job.schedule.upper()) or job.HasField("jitter") or job.HasField("max_runs")
    whose = (job.namespace, job.id, job.created_at.ToMicroseconds(), stored.counts_from.ToMicroseconds())
    return times.SerializeToString(deterministic=True), days, whose if is_own else ()
