"""What the policy service is asked: an operation with all that its rules look at, and no more."""

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from chronos.policy.v1 import decision_service_pb2
from chronos.scheduler.v1 import job_pb2, stored_job_pb2

from libs.clock import Clock
from libs.rpc.context import ANYBODY, Principal
from services.scheduler.domain.schedule.calendar import DaySet
from services.scheduler.policies.facts import (
    CALENDARS,
    ENDPOINT,
    LOAD,
    TIMING,
    calendars_today,
    hosts_of,
    is_private,
    job_facts,
)
from services.scheduler.policies.timings import Timings
from services.scheduler.ports.policies import Loads, Operation, TargetHosts

Extent = decision_service_pb2.Extent
Question = decision_service_pb2.Question


def one_job(runs: int = 0) -> Extent:
    """The extent of an operation on one job."""
    return Extent(jobs=1, runs=runs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """An operation, and what it is about."""

    operation: Operation
    namespace: str
    stored: stored_job_pb2.StoredJob | None = None
    """The job as it will be; for a deletion, as it was. None where it is about none."""
    before: job_pb2.Job | None = None
    """The job as it was; None on create and for runs."""
    caller: Principal = ANYBODY
    """Who asks; nobody in particular for the clock."""
    extent: Extent | Callable[[], Awaitable[Extent]] = field(default_factory=Extent)
    """How much it touches, or who counts that, which is asked only when there is a policy to judge it."""

    @property
    def job(self) -> job_pb2.Job:
        """The job, an empty one where it is about none."""
        return self.stored.job if self.stored is not None else job_pb2.Job()


class CalendarView(Protocol):
    """The calendars that this replica knows of."""

    def sets(self, namespace: str) -> Mapping[str, DaySet]:
        """Those of a namespace, by id; perhaps a moment behind etcd."""


class Questions:
    """Gathers facts."""

    def __init__(self, calendars: CalendarView, hosts: TargetHosts, loads: Loads, clock: Clock) -> None:
        self._calendars = calendars
        self._hosts = hosts
        self._loads = loads
        self._timings = Timings()
        self._clock = clock

    async def of(self, subject: Subject, uses: Collection[str]) -> Question:
        """The question, with those facts of `facts.EVERYTHING` that `uses` names. Takes a second at most."""
        job, now = subject.job, self._clock.now()
        question = Question(
            operation=subject.operation,
            namespace=subject.namespace,
            caller=subject.caller.id,
            permissions=subject.caller.permissions,
            extent=subject.extent if isinstance(subject.extent, Extent) else await subject.extent(),
        )
        question.time.FromDatetime(now)
        if CALENDARS in uses:
            question.calendars.extend(calendars_today(self._calendars.sets(subject.namespace), now, job.timezone))
        if LOAD in uses:
            question.load.CopyFrom(self._loads.of(subject.namespace, job.uid))
        if subject.before is not None:
            question.before.CopyFrom(job_facts(subject.before))
        if subject.stored is None:
            return question
        question.job.CopyFrom(job_facts(job))
        if TIMING in uses and (timing := await self._timing(subject.stored, now)) is not None:
            question.timing.CopyFrom(timing)
        if ENDPOINT in uses and (hosts := hosts_of(job)):
            addresses = await self._hosts.addresses(hosts)
            is_inside = any(is_private(address) for address in addresses)
            question.endpoint.MergeFrom(
                decision_service_pb2.Endpoint(hosts=hosts, addresses=addresses, is_private=is_inside)
            )
        return question

    async def _timing(self, stored: stored_job_pb2.StoredJob, now: datetime) -> decision_service_pb2.Timing | None:
        return await self._timings.of(stored, self._calendars.sets(stored.job.namespace), now)
