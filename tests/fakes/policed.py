"""A scheduler replica in a cluster with policies for runs."""

import asyncio
from collections.abc import Sequence

from chronos.history.v1 import policy_decision_pb2
from chronos.policy.v1 import decision_service_pb2, policy_pb2
from chronos.scheduler.v1 import stored_job_pb2

from libs.faults import Unavailable
from services.scheduler.policies.questions import Questions
from services.scheduler.policies.run_gate import RunGate
from services.scheduler.policies.run_questions import RunQuestions
from services.scheduler.ports.policies import Decided
from tests.fakes.firing import Bench
from tests.fakes.namespaces import FakeNamespaceBook
from tests.fakes.policies import FakeAccounts, FakePolicies, FakePolicyBook, FakeTargetHosts, Judge, allow

Outcome = policy_decision_pb2.PolicyDecision
Question = decision_service_pb2.Question
RUN = policy_pb2.Policy.RUN
NOW = frozenset({"now"})


class Judges(FakePolicies):
    """Decisions that stand, if the test says so; answers that keep it waiting, and calls that are too much at once."""

    def __init__(self, judge: Judge) -> None:
        super().__init__(judge)
        self.is_lasting = False
        self.revision = 7
        self.most: int | None = None
        self.goes_on = asyncio.Event()
        self.goes_on.set()

    async def decide(self, questions: Sequence[Question], *, draft: policy_pb2.Policy | None = None) -> Decided:
        if self.most is not None and len(questions) > self.most:
            raise Unavailable("deadline exceeded")
        decided = await super().decide(questions, draft=draft)
        await self.goes_on.wait()
        answers = [
            decision_service_pb2.Answer(decision=answer.decision, is_lasting=self.is_lasting)
            for answer in decided.answers
        ]
        return Decided(answers=answers, revision=self.revision)


class Policed(Bench):
    """A replica in a cluster with a policy for runs, whose rules look at the clock."""

    def __init__(self) -> None:
        self.book = FakePolicyBook({RUN: NOW})
        self.policies = Judges(allow)
        self.accounts, self.namespaces, self.hosts = FakeAccounts(), FakeNamespaceBook(), FakeTargetHosts()
        super().__init__()

    def make_gate(self) -> RunGate:
        questions = Questions(self.calendars, self.hosts, self.loads, self.clock)
        return RunGate(
            book=self.book,
            policies=self.policies,
            facts=RunQuestions(questions, self.versions, self.calendars, self.loads, self.clock),
            namespaces=self.namespaces,
            accounts=self.accounts,
            clock=self.clock,
        )

    def keep(self, *jobs: stored_job_pb2.StoredJob) -> None:
        """Lets the store know versions of jobs."""
        for each in jobs:
            versions = self.store.versions.setdefault((each.job.namespace, each.job.id), {})
            versions[each.job.version] = each

    def outcomes(self) -> list[tuple[str, str]]:
        """What was accounted for."""
        return [(each.execution_id, Outcome.Outcome.Name(each.outcome)) for each in self.accounts.decisions]
