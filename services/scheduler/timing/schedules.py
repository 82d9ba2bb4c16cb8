"""The schedules of stored jobs, with the calendars that they name."""

from chronos.scheduler.v1 import stored_job_pb2

from services.scheduler.convert.firing import calendars_of, job_schedule
from services.scheduler.domain.schedule.job_schedule import JobSchedule
from services.scheduler.ports.calendars import CalendarStore


class StoredSchedules:
    """See ports.Schedules."""

    def __init__(self, calendars: CalendarStore) -> None:
        self._calendars = calendars

    async def of(self, stored: stored_job_pb2.StoredJob) -> JobSchedule | None:
        """See ports.Schedules. Raises ScheduleError, and Unavailable when etcd is away."""
        calendars = await self._calendars.day_sets(stored.job.namespace, calendars_of(stored.job))
        return job_schedule(stored, calendars)
