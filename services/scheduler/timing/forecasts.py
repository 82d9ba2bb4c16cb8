"""How many runs are to be expected, interval by interval."""

from array import array
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from chronos.scheduler.v1 import job_pb2, schedule_service_pb2, stored_job_pb2

from libs.clock import Clock
from libs.faults import InvalidArgument
from services.scheduler.convert.firing import instant, job_schedule
from services.scheduler.domain.identity import MICROSECOND
from services.scheduler.domain.schedule.errors import ScheduleError
from services.scheduler.domain.schedule.job_schedule import JobSchedule
from services.scheduler.ports.calendars import CalendarBook
from services.scheduler.ports.jobs import JobScan, JobStore

LONGEST_RANGE = timedelta(days=31)
DEFAULT_RANGE = timedelta(hours=1)
DEFAULT_STEP = timedelta(minutes=1)
MOST_INTERVALS = 1000
MOST_OCCURRENCES = 5_000_000
JOBS_PER_PAGE = 500
SLICE_SECONDS = 0.005
CHECKED_EVERY = 64
NOTHING = timedelta(0)
SECOND = timedelta(seconds=1)
Forecast = schedule_service_pb2.Forecast
Pages = AsyncGenerator[Sequence[stored_job_pb2.StoredJob], None]
OWN_TIMES = ("start_time", "end_time", "max_runs", "jitter", "active_windows", "blackout_windows", "calendars")


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """[begin, end) in intervals of `step`, the last one perhaps shorter. All on whole seconds."""

    begin: datetime
    end: datetime
    step: timedelta

    @property
    def count(self) -> int:
        """The number of intervals."""
        return -((self.begin - self.end) // self.step)


@dataclass(slots=True)
class _Count:
    """Runs by second from the begin of the range, and the jobs whose runs are the same as those of others."""

    runs: "array[int]"
    budget: int
    jobs: int = 0
    shared: dict[bytes, tuple[JobSchedule, int]] = field(default_factory=dict)


class Forecasts:
    """Counts the runs that schedules will bring. Takes turns with other tasks every few milliseconds."""

    def __init__(
        self,
        jobs: JobStore,
        scan: JobScan,
        calendars: CalendarBook,
        clock: Clock,
        *,
        most_occurrences: int = MOST_OCCURRENCES,
    ) -> None:
        self._jobs = jobs
        self._scan = scan
        self._calendars = calendars
        self._clock = clock
        self._most_occurrences = most_occurrences
        self._slice_end = 0.0

    async def of_cluster(self, begin: datetime | None, end: datetime | None, step: timedelta | None) -> Forecast:
        """The runs of all namespaces. Raises InvalidArgument."""
        return await self._forecast(self._scan.all_jobs(), self._range(begin, end, step))

    async def of_namespace(
        self, namespace: str, begin: datetime | None, end: datetime | None, step: timedelta | None
    ) -> Forecast:
        """The runs of one namespace. Raises InvalidArgument."""
        return await self._forecast(self._pages(namespace), self._range(begin, end, step))

    def _range(self, begin: datetime | None, end: datetime | None, step: timedelta | None) -> Range:
        begin = (self._clock.now() if begin is None else begin).replace(microsecond=0)
        end = begin + DEFAULT_RANGE if end is None else end.replace(microsecond=0)
        step = DEFAULT_STEP if step is None else step
        if not NOTHING < end - begin <= LONGEST_RANGE:
            raise InvalidArgument.of("to", "must be later than from, by 31 days at most; for example one hour later")
        if step < SECOND or step % SECOND:
            raise InvalidArgument.of("step", "must be one or more whole seconds; for example 60s")
        wanted = Range(begin=begin, end=end, step=step)
        if wanted.count > MOST_INTERVALS:
            least = (end - begin) / MOST_INTERVALS
            raise InvalidArgument.of(
                "step",
                f"gives {wanted.count:,} intervals, and {MOST_INTERVALS:,} are possible; "
                f"make it {-(-least // SECOND)}s at least, or the range shorter",
            )
        return wanted

    async def _pages(self, namespace: str) -> Pages:
        after, has_more = "", True
        while has_more:
            page = await self._jobs.page(namespace, after_id=after, limit=JOBS_PER_PAGE)
            after, has_more = page.last_id, page.has_more
            yield [versioned.stored for versioned in page.jobs]

    async def _forecast(self, pages: Pages, wanted: Range) -> Forecast:
        seconds = (wanted.end - wanted.begin) // SECOND
        count = _Count(runs=array("q", bytes(8 * seconds)), budget=self._most_occurrences)
        async with aclosing(pages):
            async for page in pages:
                for stored in page:
                    if stored.job.enabled:
                        count.jobs += 1
                        await self._look_at(stored, count, wanted)
        for schedule, jobs in count.shared.values():
            await self._add(schedule, jobs, wanted.begin, count, wanted)
        return await self._summed(count, wanted)

    async def _look_at(self, stored: stored_job_pb2.StoredJob, count: _Count, wanted: Range) -> None:
        """Adds the runs of a job, or notes that it has the same ones as others."""
        effective = instant(stored.effective_at)
        group = _group(stored.job) if effective < wanted.begin else b""
        if group and group in count.shared:
            schedule, jobs = count.shared[group]
            count.shared[group] = (schedule, jobs + 1)
            return
        await self._breathe()
        try:
            found = job_schedule(stored, self._calendars.sets(stored.job.namespace))
        except ScheduleError:
            return
        if found is None:
            return
        if group:
            count.shared[group] = (found, 1)
        else:
            await self._add(found, 1, max(wanted.begin, effective + MICROSECOND), count, wanted)

    async def _add(self, schedule: JobSchedule, jobs: int, begin: datetime, count: _Count, wanted: Range) -> None:
        """Adds the runs of so many jobs with one schedule."""
        moment = schedule.next_after(begin - MICROSECOND)
        seen = 0
        while moment is not None and moment < wanted.end:
            count.runs[(moment - wanted.begin) // SECOND] += jobs
            seen += 1
            if seen % CHECKED_EVERY == 0:
                await self._breathe()
            if seen > count.budget:
                raise InvalidArgument.of(
                    "to",
                    f"is too far away: there are more than {self._most_occurrences:,} times to look at until then; "
                    "give an earlier one",
                )
            moment = schedule.next_after(moment)
        count.budget -= seen

    async def _summed(self, count: _Count, wanted: Range) -> Forecast:
        """Runs by second as runs and peaks by interval."""
        forecast = Forecast(total_runs=sum(count.runs), jobs=count.jobs)
        width = wanted.step // SECOND
        for place in range(wanted.count):
            seconds = count.runs[place * width : (place + 1) * width]
            interval = forecast.intervals.add(runs=sum(seconds), peak_per_second=max(seconds))
            interval.start.FromDatetime(wanted.begin + place * wanted.step)
            await self._breathe()
        return forecast

    async def _breathe(self) -> None:
        """Lets other tasks go on when this one has had a few milliseconds."""
        if self._clock.monotonic() >= self._slice_end:
            await self._clock.sleep(NOTHING)
            self._slice_end = self._clock.monotonic() + SLICE_SECONDS


def _group(job: job_pb2.Job) -> bytes:
    """What jobs that fire together have in common; empty for one whose times are its own."""
    text = job.schedule.strip().upper()
    if any(field.name in OWN_TIMES for field, _ in job.ListFields()):
        return b""
    if text.startswith("@EVERY") or "RRULE" in text or "RDATE" in text or _has_hash(text):
        return b""
    times = job_pb2.Job(schedule=job.schedule, timezone=job.timezone, dst_policy=job.dst_policy)
    return times.SerializeToString(deterministic=True)


def _has_hash(text: str) -> bool:
    """Whether an expression may hold `H`: in no name of a day or a month does it come first."""
    return any(part.startswith("H") for word in text.split() for part in word.split(","))
