"""In-memory stand-ins for what versions, cancellations and runs need from outside."""

from collections.abc import Mapping, Sequence

from chronos.scheduler.v1 import stored_job_pb2

from libs.faults import NotFound, Unavailable
from libs.names import DEFAULT_NAMESPACE
from services.scheduler.convert.firing import job_schedule
from services.scheduler.domain.schedule.calendar import DaySet
from services.scheduler.domain.schedule.job_schedule import JobSchedule
from services.scheduler.ports.jobs import Versioned, VersionPage
from services.scheduler.ports.orders import Promise
from tests.fakes.scheduler import FakeJobStore


class FakeVersionStore:
    """The versions that a FakeJobStore wrote."""

    def __init__(self, jobs: FakeJobStore) -> None:
        self._jobs = jobs

    async def page(self, namespace: str, job_id: str, *, below: int, limit: int) -> VersionPage:
        kept = self._jobs.versions.get((namespace, job_id), {})
        older = sorted((number for number in kept if not below or number < below), reverse=True)
        return VersionPage(versions=[kept[number] for number in older[:limit]], has_more=len(older) > limit)

    async def get(self, namespace: str, job_id: str, version: int) -> stored_job_pb2.StoredJob | None:
        return self._jobs.versions.get((namespace, job_id), {}).get(version)

    async def get_many(self, wanted: Sequence[tuple[str, str, int]]) -> Sequence[stored_job_pb2.StoredJob | None]:
        return [await self.get(*version) for version in wanted]

    async def numbers(self, namespace: str, job_id: str) -> Sequence[int]:
        return sorted(self._jobs.versions.get((namespace, job_id), {}))


class FakeJobFinder:
    """The jobs of a FakeJobStore."""

    def __init__(self, store: FakeJobStore) -> None:
        self.store = store

    async def find(self, namespace: str, job_id: str) -> Versioned:
        found = await self.store.get(namespace or DEFAULT_NAMESPACE, job_id)
        if found is None:
            raise NotFound(f'there is no job "{job_id}"')
        return found


class FakeSchedules:
    """Schedules of stored jobs, with the given calendars."""

    def __init__(self, calendars: Mapping[str, DaySet] | None = None) -> None:
        self.calendars = {} if calendars is None else calendars

    async def of(self, stored: stored_job_pb2.StoredJob) -> JobSchedule | None:
        return job_schedule(stored, self.calendars)


class FakeTriggerStore:
    """Triggers in a dict; all belong to shard 0, which `epoch` owns (0: nobody)."""

    def __init__(self) -> None:
        self.triggers: dict[str, stored_job_pb2.StoredTrigger] = {}
        self.cancels: dict[str, stored_job_pb2.StoredCancel] = {}
        self.requests: dict[tuple[str, str, str], stored_job_pb2.StoredTrigger] = {}
        self.epoch = 7

    async def add(self, trigger: stored_job_pb2.StoredTrigger, *, request_id: str) -> Promise:
        if request_id:
            key = (trigger.namespace, trigger.job_id, request_id)
            if key in self.requests:
                return self._promise(self.requests[key])
            self.requests[key] = trigger
        self.triggers[trigger.execution_id] = trigger
        return self._promise(trigger)

    async def add_many(self, triggers: Sequence[stored_job_pb2.StoredTrigger]) -> Sequence[Promise]:
        return [self._promise(self.triggers.setdefault(trigger.execution_id, trigger)) for trigger in triggers]

    async def settle(self, triggers: Sequence[tuple[int, str]]) -> None:
        for _, execution_id in triggers:
            self.triggers.pop(execution_id, None)

    async def settle_cancels(self, cancels: Sequence[tuple[int, str]]) -> None:
        for _, execution_id in cancels:
            self.cancels.pop(execution_id, None)

    async def settle_completions(self, completions: Sequence[tuple[int, str]]) -> None:
        raise AssertionError("nothing is completed here")

    def _promise(self, trigger: stored_job_pb2.StoredTrigger) -> Promise:
        return Promise(trigger=trigger, shard=0, epoch=self.epoch)


class FakeCancelStore:
    """Wishes to stop what a FakeTriggerStore promised, and others."""

    def __init__(self, triggers: FakeTriggerStore) -> None:
        self._triggers = triggers

    async def add(self, cancel: stored_job_pb2.StoredCancel) -> None:
        self._triggers.cancels.setdefault(cancel.execution_id, cancel)

    async def promised(self, namespace: str, execution_id: str) -> stored_job_pb2.StoredTrigger | None:
        trigger = self._triggers.triggers.get(execution_id)
        return trigger if trigger is not None and trigger.namespace == namespace else None


class FakeCompletionStore:
    """Completions in a dict, by execution; the first of each counts. Can be away."""

    def __init__(self) -> None:
        self.kept: dict[str, stored_job_pb2.StoredCompletion] = {}
        self.is_away = False

    async def add(self, completion: stored_job_pb2.StoredCompletion) -> stored_job_pb2.StoredCompletion:
        if self.is_away:
            raise Unavailable("etcd is away")
        return self.kept.setdefault(completion.execution.id, completion)
