"""Executions that are repeated with what was recorded for them, whatever their targets."""

from chronos.history.v1 import execution_pb2, ledger_service_pb2
from chronos.policy.v1 import policy_pb2
from chronos.scheduler.v1 import job_pb2, run_service_pb2, stored_job_pb2

from libs.clock import Clock
from libs.faults import NotFound, WrongState
from libs.names import DEFAULT_NAMESPACE
from services.scheduler.convert.firing import DELIVERED
from services.scheduler.domain.identity import manual_execution_id, microseconds
from services.scheduler.policies.guard import Guard
from services.scheduler.policies.questions import Extent, Subject, one_job
from services.scheduler.ports.jobs import JobFinder, VersionStore
from services.scheduler.ports.ledger import Ledger
from services.scheduler.runs.recorded_requests import filled_in
from services.scheduler.runs.recorded_secrets import restore_secrets
from services.scheduler.runs.request_changes import change
from services.scheduler.runs.triggers import Triggers, new_trigger


class Replays:
    """Repeats executions, whatever their jobs say today."""

    def __init__(
        self, jobs: JobFinder, versions: VersionStore, triggers: Triggers, ledger: Ledger, guard: Guard, clock: Clock
    ) -> None:
        self._jobs = jobs
        self._versions = versions
        self._triggers = triggers
        self._ledger = ledger
        self._guard = guard
        self._clock = clock

    async def replay(
        self,
        namespace: str,
        job_id: str,
        execution_id: str,
        changes: run_service_pb2.RequestChanges,
        *,
        skip_retries: bool,
        request_id: str,
        actor: str,
        extent: Extent | None = None,
    ) -> execution_pb2.Execution:
        """Promises a run with the recorded request, changed as asked; it does not wait for other runs of the job.

        `extent` says how much is asked for with it; by default nothing else. Raises NotFound, InvalidArgument, Refused,
        and WrongState when nothing was recorded, the job is gone, or its secrets are.
        """
        original, definition = await self._find(namespace or DEFAULT_NAMESPACE, job_id, execution_id)
        stored = await self._present(original)
        job = stored.job
        recorded = await self._recorded(original, definition, changes, job)
        await self._guard.ensure(_subject(stored, recorded, extent or one_job(runs=1)))
        now = self._clock.now()
        trigger = new_trigger(
            job, manual_execution_id(microseconds(now)), time=now, cause=execution_pb2.Execution.REPLAY, actor=actor
        )
        trigger.recorded.CopyFrom(recorded)
        trigger.replay_of = original.id
        trigger.skip_retries = skip_retries
        trigger.concurrency = job_pb2.Job.ALLOW
        wish = f"replay-{original.id}-{request_id}" if request_id else ""
        return await self._triggers.promise(trigger, job, request_id=wish)

    async def _find(
        self, namespace: str, job_id: str, execution_id: str
    ) -> tuple[execution_pb2.Execution, ledger_service_pb2.Definition]:
        found = await self._ledger.find(namespace, ids=[execution_id], limit=1, with_definitions=True)
        if not found.executions or job_id not in ("", found.executions[0].job_id):
            place = f'of the job "{job_id}" in' if job_id else "in"
            raise NotFound(
                f'there is no execution "{execution_id}" {place} namespace "{namespace}"',
                metadata={"execution": execution_id},
            )
        return found.executions[0], found.definitions[0]

    async def _present(self, original: execution_pb2.Execution) -> stored_job_pb2.StoredJob:
        try:
            stored = (await self._jobs.find(original.namespace, original.job_id)).stored
        except NotFound:
            stored = stored_job_pb2.StoredJob()
        if stored.job.uid != original.job_uid:
            raise WrongState(
                f'the job "{original.job_id}" that ran was deleted, so that nothing can run for it; create it again, '
                "and run it with trigger"
            )
        return stored

    async def _recorded(
        self,
        original: execution_pb2.Execution,
        definition: ledger_service_pb2.Definition,
        changes: run_service_pb2.RequestChanges,
        present: job_pb2.Job,
    ) -> job_pb2.Job:
        then = job_pb2.Job.FromString(definition.job)
        if then.WhichOneof("target") is None:
            raise WrongState(
                "no request was recorded for this execution, since it was not sent; run the job with trigger instead"
            )
        recorded = filled_in(then, original)
        change(recorded, changes)
        kept = await self._versions.get(original.namespace, original.job_id, original.job_version)
        sources = [present]
        if kept is not None and kept.job.uid == original.job_uid:
            sources.insert(0, kept.job)
        if missing := restore_secrets(recorded, sources):
            raise WrongState(_without(missing, original, is_webhook=recorded.HasField("webhook")))
        return recorded


def _subject(stored: stored_job_pb2.StoredJob, recorded: job_pb2.Job, extent: Extent) -> Subject:
    """What policies see: the job as it is, but delivered as it is going to be."""
    judged = stored_job_pb2.StoredJob()
    judged.CopyFrom(stored)
    for name in DELIVERED:
        judged.job.ClearField(name)  # type: ignore[arg-type]
    judged.job.MergeFrom(recorded)
    return Subject(operation=policy_pb2.Policy.REPLAY, namespace=stored.job.namespace, stored=judged, extent=extent)


def _without(missing: str, original: execution_pb2.Execution, *, is_webhook: bool) -> str:
    way_out = "give the job credentials of that kind for the same place again"
    if is_webhook:
        way_out += ', or give the header in changes.headers, for example {"Authorization": "Bearer …"}'
    else:
        way_out += ", or run it as it is now with trigger"
    return (
        f"the request was recorded without secrets, and version {original.job_version} of the job, which had "
        f"{missing}, is not kept any more or delivers elsewhere; {way_out}"
    )
