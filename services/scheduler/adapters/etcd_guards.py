"""Transactions on jobs that keep what no single job can: dependencies, and how many jobs a namespace may have."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from chronos.scheduler.v1 import job_pb2, namespace_pb2

from libs.etcd import keys
from libs.etcd.port import Etcd
from libs.etcd.transactions import Compare, Get, Operation, OperationResult, Put, Subject, TxnResult
from libs.faults import InvalidArgument, LimitReached, Stale, WrongState
from services.scheduler.adapters.etcd_dependencies import EtcdDependencyStore, dependency_operations
from services.scheduler.domain.graph import dependants_text, dependency_violations
from services.scheduler.domain.identity import shard_of
from services.scheduler.domain.quota import UNLIMITED

MOST_TRIES = 30
DEPENDENCIES, JOB_COUNT = "dependencies", "jobs"


@dataclass(slots=True)
class _Terms:
    """What must still hold when a transaction commits, and what it does besides its own."""

    compares: list[Compare] = field(default_factory=list)
    operations: list[Operation] = field(default_factory=list)
    refusal: LimitReached | None = None
    """Set when the change is not possible, unless the transaction turns out to be a repetition."""


class GuardedJobs:
    """Makes changes of jobs that are refused when they would break a rule between jobs, also under concurrency.

    What a rule looks at is read first, and compared when the change is committed: a guard key, which every change that
    matters to the rule writes. When it was changed in between, the rule is looked at again.
    """

    def __init__(self, etcd: Etcd, shard_count: int) -> None:
        self._etcd = etcd
        self._shard_count = shard_count
        self._dependencies = EtcdDependencyStore(etcd)
        self._turn = asyncio.Lock()

    async def txn(
        self,
        compares: Sequence[Compare],
        success: Sequence[Operation],
        failure: Sequence[Operation] = (),
        *,
        old: job_pb2.Job | None,
        new: job_pb2.Job | None,
    ) -> TxnResult:
        """Like Etcd.txn, for a change from `old` (None: created) to `new` (None: deleted); more responses may follow.

        Raises InvalidArgument for dependencies that are not possible, WrongState for a job that others depend on,
        LimitReached for a namespace that is full, Stale when others were faster too often.
        """
        result = await self._try(compares, success, failure, old, new)
        if result is None:
            async with self._turn:  # Those of this replica do not get into each other's way any more.
                for _ in range(MOST_TRIES):
                    if result is None:
                        result = await self._try(compares, success, failure, old, new)
        if result is None:
            raise Stale("the namespace is being changed by many callers at once; try again")
        return result

    async def _try(
        self,
        compares: Sequence[Compare],
        success: Sequence[Operation],
        failure: Sequence[Operation],
        old: job_pb2.Job | None,
        new: job_pb2.Job | None,
    ) -> TxnResult | None:
        terms = _Terms()
        await self._add_dependencies(terms, old, new)
        if old is None and new is not None:
            await self._add_job_count(terms, new)
        if terms.refusal is not None:
            repeated = await self._etcd.txn(compares, [], failure)
            if repeated.succeeded:
                raise terms.refusal
            return repeated
        reads = [Get(compare.key) for compare in terms.compares]
        result = await self._etcd.txn([*compares, *terms.compares], [*success, *terms.operations], [*failure, *reads])
        if result.succeeded or all(map(_holds, terms.compares, result.responses[len(failure) :])):
            return result
        return None

    async def _add_dependencies(self, terms: _Terms, old: job_pb2.Job | None, new: job_pb2.Job | None) -> None:
        operations = dependency_operations(old, new)
        if new is not None and not operations:
            return
        job = new or old
        assert job is not None
        guard = keys.guard(DEPENDENCIES, job.namespace)
        found = await self._etcd.get(guard)
        if new is None:
            if children := await self._dependencies.children(job.namespace, job.id, limit=6):
                raise WrongState(dependants_text(job.id, children), reason="JOB_HAS_DEPENDANTS")
        else:
            await self._check_dependencies(terms, new)
        terms.compares.append(Compare.mod_revision_is(guard, found.mod_revision if found else 0))
        terms.operations += [*operations, Put(guard, b"")] if operations else []

    async def _check_dependencies(self, terms: _Terms, job: job_pb2.Job) -> None:
        parents = list(job.dependencies.depends_on)
        missing = await self._dependencies.missing(job.namespace, parents)
        below = await self._dependencies.parents_below(job.namespace, job.id)
        violations = list(dependency_violations(job.id, parents, missing=missing, parents_of=below))
        if violations:
            raise InvalidArgument(violations)
        for parent in parents:
            shard = shard_of(job.namespace, parent, self._shard_count)
            terms.compares.append(Compare.value_is(keys.job_index(job.namespace, parent), str(shard).encode()))

    async def _add_job_count(self, terms: _Terms, job: job_pb2.Job) -> None:
        namespace, guard = keys.namespace(job.namespace), keys.guard(JOB_COUNT, job.namespace)
        found, counted = await self._etcd.get_many([namespace, guard])
        terms.compares.append(Compare.mod_revision_is(namespace, found.mod_revision if found else 0))
        if found is None:
            return
        terms.operations.append(Put(guard, b""))
        quotas = namespace_pb2.Namespace.FromString(found.value).quotas
        if not quotas.HasField("max_jobs") or (limit := quotas.max_jobs) == UNLIMITED:
            return
        terms.compares.append(Compare.mod_revision_is(guard, counted.mod_revision if counted else 0))
        count = await self._etcd.count(keys.job_index_of(job.namespace))
        if count >= limit:
            terms.refusal = LimitReached(
                f'the namespace "{job.namespace}" has {count:,} jobs and its quota allows for {limit:,}; delete some, '
                "or raise max_jobs of the namespace",
                reason="JOB_QUOTA_REACHED",
            )


def _holds(compare: Compare, response: OperationResult) -> bool:
    item = response.item
    if compare.subject is Subject.VALUE:
        return item is not None and item.value == compare.expected
    return (item.mod_revision if item else 0) == compare.expected
