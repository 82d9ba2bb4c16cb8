"""What a job may depend on."""

from collections.abc import Iterator

from chronos.scheduler.v1 import job_pb2

from libs.faults import Violation, WrongState
from services.scheduler.domain.graph import FIELD, MOST_NAMED, dependants_text, dependency_violations
from services.scheduler.ports.dependencies import DependencyStore


class Dependencies:
    """Checks jobs against each other. The store refuses in the end what becomes wrong after the check."""

    def __init__(self, store: DependencyStore) -> None:
        self._store = store

    async def check(self, job: job_pb2.Job) -> list[Violation]:
        """Everything that is wrong with the dependencies of a job that has its namespace and its id."""
        violations = list(_shape_violations(job))
        parents = list(job.dependencies.depends_on)
        if violations or not parents:
            return violations
        missing = await self._store.missing(job.namespace, parents)
        below = await self._store.parents_below(job.namespace, job.id)
        return list(dependency_violations(job.id, parents, missing=missing, parents_of=below))

    async def check_delete(self, namespace: str, job_id: str) -> None:
        """Raises WrongState when other jobs depend on the job."""
        children = await self._store.children(namespace, job_id, limit=MOST_NAMED + 1)
        if children:
            raise WrongState(dependants_text(job_id, children), reason="JOB_HAS_DEPENDANTS")


def _shape_violations(job: job_pb2.Job) -> Iterator[Violation]:
    given = job.dependencies
    if given.depends_on and job.schedule:
        description = "cannot go with a schedule; leave schedule empty, or depend on no job"
        yield Violation(field=FIELD, description=description)
    if not given.depends_on:
        hint = 'means nothing without depends_on; name the jobs to wait for, for example ["extract"], or leave it out'
        if given.condition:
            yield Violation(field="dependencies.condition", description=hint)
        if given.HasField("timeout"):
            yield Violation(field="dependencies.timeout", description=hint)
