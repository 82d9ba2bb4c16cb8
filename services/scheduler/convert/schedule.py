"""From the fields of a job to what its schedule is built from."""

from collections.abc import Iterable
from datetime import UTC, datetime

from chronos.scheduler.v1 import job_pb2, schedule_service_pb2, timing_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from libs.names import DEFAULT_NAMESPACE
from services.scheduler.domain.schedule.spec import (
    CalendarSpec,
    DstPolicy,
    RepeatedTime,
    Roll,
    ScheduleSpec,
    SkippedTime,
    WindowSpec,
)

SKIPPED = {
    timing_pb2.DstPolicy.SKIP: SkippedTime.SKIP,
    timing_pb2.DstPolicy.NEXT_VALID: SkippedTime.NEXT_VALID,
    timing_pb2.DstPolicy.BEFORE: SkippedTime.BEFORE,
}
REPEATED = {
    timing_pb2.DstPolicy.FIRST: RepeatedTime.FIRST,
    timing_pb2.DstPolicy.LAST: RepeatedTime.LAST,
    timing_pb2.DstPolicy.BOTH: RepeatedTime.BOTH,
}
ROLLS = {
    timing_pb2.CalendarRule.SKIP: Roll.SKIP,
    timing_pb2.CalendarRule.NEXT_BUSINESS_DAY: Roll.NEXT_BUSINESS_DAY,
    timing_pb2.CalendarRule.PREVIOUS_BUSINESS_DAY: Roll.PREVIOUS_BUSINESS_DAY,
}


def spec_of(job: job_pb2.Job, *, counts_from: datetime) -> ScheduleSpec:
    """Everything that decides when a job runs; `max_runs` counts after `counts_from`."""
    return ScheduleSpec(
        expression=job.schedule,
        timezone=job.timezone or "UTC",
        dst=_dst(job.dst_policy),
        start=_moment(job.start_time) if job.HasField("start_time") else None,
        end=_moment(job.end_time) if job.HasField("end_time") else None,
        max_runs=job.max_runs,
        counts_from=counts_from,
        jitter=job.jitter.ToTimedelta(),
        active_windows=_windows(job.active_windows),
        blackout_windows=_windows(job.blackout_windows),
        calendars=_calendars(job.calendars),
        seed=f"{job.namespace}/{job.id}",
        anchor=_moment(job.created_at) if job.HasField("created_at") else counts_from,
    )


def spec_of_question(request: schedule_service_pb2.ValidateScheduleRequest, *, now: datetime) -> ScheduleSpec:
    """What a job that is created now with these fields would have."""
    job = job_pb2.Job(
        namespace=request.namespace or DEFAULT_NAMESPACE,
        id=request.job_id,
        schedule=request.schedule,
        timezone=request.timezone,
        dst_policy=request.dst_policy,
        jitter=request.jitter,
        active_windows=request.active_windows,
        blackout_windows=request.blackout_windows,
        calendars=request.calendars,
    )
    for name in ("start_time", "end_time"):
        if request.HasField(name):
            getattr(job, name).CopyFrom(getattr(request, name))
    if request.max_runs:
        job.max_runs = request.max_runs
    return spec_of(job, counts_from=now)


def _dst(policy: timing_pb2.DstPolicy) -> DstPolicy:
    return DstPolicy(
        skipped=SKIPPED.get(policy.skipped_time, SkippedTime.NEXT_VALID),
        repeated=REPEATED.get(policy.repeated_time, RepeatedTime.FIRST),
    )


def _windows(messages: Iterable[timing_pb2.Window]) -> tuple[WindowSpec, ...]:
    return tuple(
        WindowSpec(
            days=message.days,
            start=message.start,
            end=message.end,
            first_date=message.first_date,
            last_date=message.last_date,
            timezone=message.timezone,
        )
        for message in messages
    )


def _calendars(rule: timing_pb2.CalendarRule) -> CalendarSpec:
    return CalendarSpec(include=tuple(rule.include), exclude=tuple(rule.exclude), roll=ROLLS.get(rule.roll, Roll.SKIP))


def _moment(timestamp: Timestamp) -> datetime:
    return timestamp.ToDatetime(tzinfo=UTC)
