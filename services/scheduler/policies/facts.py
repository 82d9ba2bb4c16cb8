"""What rules see of a job: the job as REST shows it, how often it fires, where its target is."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from ipaddress import IPv4Address, IPv6Address, ip_address
from itertools import pairwise
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from chronos.policy.v1 import decision_service_pb2
from chronos.scheduler.v1 import job_pb2
from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import Struct

from services.scheduler.domain.schedule.calendar import DaySet
from services.scheduler.domain.schedule.errors import ScheduleError
from services.scheduler.domain.schedule.job_schedule import JobSchedule
from services.scheduler.domain.schedule.zones import parse_timezone
from services.scheduler.jobs.secrets import masked_job

NOW, LOAD, ENDPOINT, TIMING, CALENDARS = "now", "load", "endpoint", "timing", "calendars"
EVERYTHING = frozenset({NOW, LOAD, ENDPOINT, TIMING, CALENDARS})
DAY = timedelta(days=1)
# How far a schedule is looked at: all runs of a week, and at least 100 of them if there are as many within 400 days.
MOST_RUNS, ENOUGH_RUNS = 2_000, 100
WEEK, YEAR = timedelta(days=7), timedelta(days=400)


def job_facts(job: job_pb2.Job) -> Struct:
    """The job as REST shows it: every field by its name in the proto, secrets masked."""
    facts = Struct()
    shown = MessageToDict(masked_job(job), preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
    facts.update(shown)
    return facts


def timing_of(schedule: JobSchedule, now: datetime) -> decision_service_pb2.Timing | None:
    """How often a schedule fires from now on; None when it does not fire any more.

    Without a shortest interval when only one run is left. Looks at 2,000 runs at most: when these all lie within one
    day, the day is taken to go on like that. May take a while (tens of milliseconds): call it in a thread.
    """
    runs = list(_next_runs(schedule, now))
    if not runs:
        return None
    timing = decision_service_pb2.Timing(runs_per_day=_runs_per_day(runs, schedule.zone))
    if len(runs) > 1:
        timing.shortest_interval.FromTimedelta(min(later - run for run, later in pairwise(runs)))
    return timing


def _next_runs(schedule: JobSchedule, now: datetime) -> Iterator[datetime]:
    count, first, moment = 0, None, schedule.next_after(now)
    while moment is not None and count < MOST_RUNS:
        first = first or moment
        if count >= ENOUGH_RUNS and moment - first >= WEEK:
            return
        yield moment
        count += 1
        if count > 1 and moment - first >= YEAR:
            return
        moment = schedule.next_after(moment)


def _runs_per_day(runs: list[datetime], zone: ZoneInfo) -> int:
    """The most on one day of the job's zone."""
    by_day: dict[object, int] = {}
    for run in runs:
        day = run.astimezone(zone).date()
        by_day[day] = by_day.get(day, 0) + 1
    most, span = max(by_day.values()), runs[-1] - runs[0]
    if len(runs) < MOST_RUNS:
        return most
    if span < DAY:
        return max(most, round((len(runs) - 1) * (DAY / span)))
    return max(most, sum(1 for run in runs if run - runs[0] < DAY))


def calendars_today(sets: Mapping[str, DaySet], now: datetime, timezone: str) -> list[str]:
    """The ids of the calendars that have today's date, in an IANA zone, or in UTC when that is none; rising."""
    try:
        zone = parse_timezone(timezone)
    except ScheduleError:
        zone = parse_timezone("")
    today = now.astimezone(zone).date()
    return sorted(name for name, days in sets.items() if today in days)


def hosts_of(job: job_pb2.Job) -> list[str]:
    """The host names or addresses that a job delivers to, as it says, in lower case and each once.

    None for a WebSocket, whose receivers connect by themselves, and what cannot be read is left out.
    """
    return list(dict.fromkeys(host for text in _addresses_of(job) if (host := _host(text))))


def _addresses_of(job: job_pb2.Job) -> list[str]:
    match job.WhichOneof("target"):
        case "webhook":
            return [job.webhook.url]
        case "grpc":
            return [f"//{job.grpc.address}"]
        case "kafka":
            return [f"//{broker}" for broker in job.kafka.brokers]
        case "nats":
            return [server.strip() for server in job.nats.url.split(",")]
        case "rabbitmq":
            return [job.rabbitmq.url]
        case _:
            return []


def _host(text: str) -> str:
    try:
        return (urlsplit(text).hostname or "").rstrip(".")
    except ValueError:
        return ""


def is_private(address: str) -> bool:
    """Whether the public internet does not lead to an IP address: a private, loopback, link-local or such one."""
    try:
        found: IPv4Address | IPv6Address = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, IPv6Address) and (inner := found.ipv4_mapped or found.sixtofour) is not None:
        found = inner
    return not found.is_global or found.is_multicast
