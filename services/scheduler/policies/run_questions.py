"""What policies are asked about runs: as about other operations, but of what stays the same only once."""

from asyncio import TaskGroup
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from chronos.policy.v1 import decision_service_pb2, policy_pb2
from chronos.scheduler.v1 import job_pb2, stored_job_pb2

from libs.clock import Clock
from libs.rpc.context import ANYBODY, Principal
from services.scheduler.domain.occurrence import Run
from services.scheduler.policies.facts import CALENDARS, ENDPOINT, LOAD, TIMING, calendars_today
from services.scheduler.policies.questions import CalendarView, Questions, Subject, one_job
from services.scheduler.policies.turns import Turns
from services.scheduler.ports.jobs import VersionStore
from services.scheduler.ports.policies import Loads

Question = decision_service_pb2.Question
StoredJob = stored_job_pb2.StoredJob
RUN = policy_pb2.Policy.RUN
# Some 4 KB each.
MOST_KEPT = 5_000


@dataclass(frozen=True, slots=True)
class RunAsked:
    """A run, and what its policies look at; see `PolicyBook.uses`."""

    run: Run
    uses: Collection[str]


@dataclass(frozen=True, slots=True)
class _Lasting:
    """What does not change of the question about a version of a job: a serialized Question."""

    version: int
    has_timing: bool
    question: bytes


class RunQuestions:
    """Reads the versions of jobs whose runs are asked about, and tells what they do not say by themselves.

    A version that is not kept (of a job that was deleted, say) is described by what its runs deliver, and its tags.
    """

    def __init__(
        self, questions: Questions, versions: VersionStore, calendars: CalendarView, loads: Loads, clock: Clock
    ) -> None:
        self._questions = questions
        self._versions = versions
        self._calendars = calendars
        self._loads = loads
        self._clock = clock
        self._kept: dict[str, _Lasting] = {}

    async def of(self, asked: Sequence[RunAsked]) -> list[Question]:
        """One question for each run, in their order. Raises Unavailable. Leaves other tasks their turns."""
        turns = Turns(self._clock)
        stored = await self._stored([each.run for each in asked if self._find(each) is None])
        questions = [Question() for _ in asked]
        async with TaskGroup() as group:
            for each, question in zip(asked, questions, strict=True):
                if ENDPOINT in each.uses:
                    group.create_task(self._ask_in_full(each, stored, question))
                else:
                    question.MergeFromString(await self._lasting(each, stored))
                    self._add_momentary(each, question)
                    await turns.leave()
        return questions

    async def _stored(self, runs: Sequence[Run]) -> dict[str, StoredJob]:
        """The versions of jobs that runs are of, by the uid of the job."""
        wanted = {run.job.uid: run for run in runs}
        names = [(run.job.namespace, run.job.id, run.job.version) for run in wanted.values()]
        found = await self._versions.get_many(names) if names else ()
        return {
            uid: stored if stored is not None and stored.job.uid == uid else _delivered(run)
            for (uid, run), stored in zip(wanted.items(), found, strict=True)
        }

    def _find(self, asked: RunAsked) -> _Lasting | None:
        kept = self._kept.get(asked.run.job.uid)
        if kept is None or kept.version != asked.run.job.version or ENDPOINT in asked.uses:
            return None
        return kept if kept.has_timing or TIMING not in asked.uses else None

    async def _lasting(self, asked: RunAsked, stored: dict[str, StoredJob]) -> bytes:
        if (kept := self._find(asked)) is not None:
            return kept.question
        run, has_timing = asked.run, TIMING in asked.uses
        question = await self._questions.of(_subject(run, stored[run.job.uid]), {TIMING} if has_timing else ())
        question.ClearField("time")
        question.ClearField("caller")
        lasting = _Lasting(run.job.version, has_timing, question.SerializeToString())
        self._kept.pop(run.job.uid, None)
        self._kept[run.job.uid] = lasting
        if len(self._kept) > MOST_KEPT:
            del self._kept[next(iter(self._kept))]
        return lasting.question

    def _add_momentary(self, asked: RunAsked, question: Question) -> None:
        run, now = asked.run, self._clock.now()
        question.time.FromDatetime(now)
        question.caller = run.origin.actor
        if LOAD in asked.uses:
            question.load.CopyFrom(self._loads.of(run.job.namespace, run.job.uid))
        if CALENDARS in asked.uses:
            zone = question.job.fields["timezone"].string_value
            question.calendars.extend(calendars_today(self._calendars.sets(run.job.namespace), now, zone))

    async def _ask_in_full(self, asked: RunAsked, stored: dict[str, StoredJob], question: Question) -> None:
        """Where hosts are is looked up anew each time."""
        subject = _subject(asked.run, stored[asked.run.job.uid])
        question.CopyFrom(await self._questions.of(subject, asked.uses))


def _subject(run: Run, stored: StoredJob) -> Subject:
    actor = run.origin.actor
    caller = Principal(id=actor, name=actor) if actor else ANYBODY
    return Subject(operation=RUN, namespace=run.job.namespace, stored=stored, caller=caller, extent=one_job(runs=1))


def _delivered(run: Run) -> StoredJob:
    """What is known of a job by what is delivered."""
    job = job_pb2.Job.FromString(run.job.definition)
    job.namespace, job.id, job.uid = run.job.namespace, run.job.id, run.job.uid
    job.name, job.version = run.job.name, run.job.version
    job.tags.update(run.job.tags)
    return StoredJob(job=job)
