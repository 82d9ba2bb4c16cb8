"""What policies would say, before they say it."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from datetime import timedelta

from chronos.policy.v1 import decision_pb2, decision_service_pb2, policy_pb2
from chronos.scheduler.v1 import job_pb2, policy_trial_service_pb2, stored_job_pb2

from libs.clock import Clock
from libs.faults import InvalidArgument, NotFound, Violation
from libs.names import DEFAULT_NAMESPACE
from libs.rpc.context import Principal
from services.scheduler.jobs.resource import with_defaults
from services.scheduler.policies.facts import EVERYTHING
from services.scheduler.policies.questions import Questions, Subject, one_job
from services.scheduler.ports.jobs import JobStore, Versioned
from services.scheduler.ports.policies import Operation, Policies, PolicyBook, PolicyFinder

JOBS_PER_BATCH = 200
ASKED_AT_ONCE = 16
# A message of the mesh may have 8 MiB.
MOST_BATCH_BYTES = 4 * 1024 * 1024
MOST_HITS = 1_000
SLICE_SECONDS = 0.005
Answer = policy_trial_service_pb2.DryRunPolicyResponse
Policy = policy_pb2.Policy
Question = decision_service_pb2.Question


class PolicyTrials:
    """Asks as the guard does, for operations that nobody has asked for. Accounts for nothing."""

    def __init__(
        self,
        *,
        book: PolicyBook,
        finder: PolicyFinder,
        policies: Policies,
        questions: Questions,
        jobs: JobStore,
        clock: Clock,
    ) -> None:
        self._book = book
        self._finder = finder
        self._policies = policies
        self._questions = questions
        self._jobs = jobs
        self._clock = clock
        self._slice_end = 0.0

    async def evaluate(
        self, job: job_pb2.Job, operation: Operation, draft: Policy | None, *, caller: Principal
    ) -> decision_pb2.Decision:
        """What the stored policies, or `draft` alone, say to an operation on a job that need not mean anything.

        Raises InvalidArgument when the draft is wrong, Unavailable.
        """
        stored = stored_job_pb2.StoredJob(job=with_defaults(job))
        stored.job.created_at.FromDatetime(self._clock.now())
        subject = _subject(stored, operation or Policy.CREATE, caller)
        if draft is not None:
            uses: frozenset[str] | None = _uses_of(draft)
        else:
            uses = self._book.uses(subject.operation, subject.namespace, stored.job.tags)
        if uses is None:
            return decision_pb2.Decision(allowed=True)
        return (await self._decide([await self._questions.of(subject, uses)], draft))[0]

    async def dry_run(
        self, namespace: str, policy_id: str, draft: Policy | None, operation: Operation, *, caller: Principal
    ) -> Answer:
        """What a policy, stored or not, enabled or not, says to all jobs of a namespace.

        Takes a second for some thousand jobs. Raises InvalidArgument when it is wrong or judges no jobs, NotFound,
        Unavailable.
        """
        if bool(policy_id) == (draft is not None):
            raise InvalidArgument.of("policy", "or id: give exactly one of them, a policy or the id of a stored one")
        if draft is None:
            draft, uses = await self._stored(policy_id)
        else:
            uses = _uses_of(draft)
        operation = operation or _usual_operation(draft)
        answer = Answer()
        async with aclosing(self._pages(namespace or DEFAULT_NAMESPACE)) as pages:
            async for page in pages:
                await self._judge(page, operation, caller, draft, uses, answer)
        return answer

    async def _stored(self, policy_id: str) -> tuple[Policy, frozenset[str]]:
        stored = await self._finder.find(policy_id)
        if stored is None:
            raise NotFound(f'there is no policy "{policy_id}"', metadata={"policy": policy_id})
        return stored.policy, frozenset(stored.uses)

    async def _pages(self, namespace: str) -> AsyncGenerator[Sequence[Versioned], None]:
        after, has_more = "", True
        while has_more:
            page = await self._jobs.page(namespace, after_id=after, limit=JOBS_PER_BATCH)
            after, has_more = page.last_id, page.has_more
            yield page.jobs

    async def _judge(
        self,
        page: Sequence[Versioned],
        operation: Operation,
        caller: Principal,
        draft: Policy,
        uses: frozenset[str],
        answer: Answer,
    ) -> None:
        """Adds what the policy says to some jobs, in batches that fit into a message."""
        ids: list[str] = []
        batch: list[Question] = []
        size = 0
        subjects = [_subject(versioned.stored, operation, caller) for versioned in page]
        async for subject, question in self._asked(subjects, uses):
            if batch and size + question.ByteSize() > MOST_BATCH_BYTES:
                _add(answer, ids, await self._decide(batch, draft))
                ids, batch, size = [], [], 0
            ids.append(subject.job.id)
            batch.append(question)
            size += question.ByteSize()
        if batch:
            _add(answer, ids, await self._decide(batch, draft))

    async def _asked(
        self, subjects: Sequence[Subject], uses: frozenset[str]
    ) -> AsyncGenerator[tuple[Subject, Question], None]:
        """The questions about some subjects, a few at a time: hosts that are looked up let others wait."""
        for start in range(0, len(subjects), ASKED_AT_ONCE):
            chosen = subjects[start : start + ASKED_AT_ONCE]
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._questions.of(subject, uses)) for subject in chosen]
            for subject, task in zip(chosen, tasks, strict=True):
                yield subject, task.result()
            await self._breathe()

    async def _decide(self, questions: Sequence[Question], draft: Policy | None) -> list[decision_pb2.Decision]:
        try:
            decided = await self._policies.decide(questions, draft=draft)
        except InvalidArgument as fault:
            raise _of_policy(fault) from fault
        return [answer.decision for answer in decided.answers]

    async def _breathe(self) -> None:
        """Lets other tasks go on when this one has had a few milliseconds."""
        if self._clock.monotonic() >= self._slice_end:
            await self._clock.sleep(timedelta(0))
            self._slice_end = self._clock.monotonic() + SLICE_SECONDS


def _subject(stored: stored_job_pb2.StoredJob, operation: Operation, caller: Principal) -> Subject:
    is_change = operation in (Policy.UPDATE, Policy.DELETE, Policy.ENABLE)
    is_run = operation in (Policy.RUN, Policy.TRIGGER, Policy.REPLAY, Policy.BACKFILL)
    return Subject(
        operation=operation,
        namespace=stored.job.namespace,
        stored=stored,
        before=stored.job if is_change else None,
        caller=caller,
        extent=one_job(runs=1 if is_run else 0),
    )


def _uses_of(draft: Policy) -> frozenset[str]:
    """What its rules may look at: what they look at, they name."""
    text = draft.SerializeToString()
    return frozenset(name for name in EVERYTHING if name.encode() in text)


def _usual_operation(policy: Policy) -> Operation:
    """UPDATE, or RUN for an execution policy; the first of its operations where it does not judge that."""
    if policy.type == Policy.CLUSTER:
        raise InvalidArgument.of(
            "policy.type", "is CLUSTER, and such a policy judges no jobs; give one of another type"
        )
    usual = Policy.RUN if policy.type == Policy.EXECUTION else Policy.UPDATE
    return usual if usual in policy.operations or not policy.operations else policy.operations[0]


def _add(answer: Answer, ids: Sequence[str], decisions: Sequence[decision_pb2.Decision]) -> None:
    for job_id, decision in zip(ids, decisions, strict=True):
        answer.jobs += 1
        if not decision.allowed:
            answer.denied_count += 1
            if len(answer.denied) < MOST_HITS:
                answer.denied.add(job_id=job_id, decision=decision)
        elif decision.warnings or decision.audited:
            answer.warned_count += 1
            if len(answer.warned) < MOST_HITS:
                answer.warned.add(job_id=job_id, decision=decision)
        else:
            answer.unaffected_count += 1


def _of_policy(fault: InvalidArgument) -> InvalidArgument:
    """The same faults where the caller has written them: the policy service calls the policy a draft."""
    violations = [
        Violation(field=f"policy{one.field.removeprefix('draft')}", description=one.description)
        for one in fault.violations
    ]
    return InvalidArgument(violations, message="" if violations else fault.message)
