"""What policies would say, before they say it."""

import pytest
from chronos.policy.v1 import decision_pb2, decision_service_pb2, policy_pb2, stored_policy_pb2
from chronos.scheduler.v1 import job_pb2, policy_trial_service_pb2, stored_job_pb2, target_pb2

from libs.faults import Forbidden, InvalidArgument, NotFound, Unavailable, Violation
from libs.rpc import context as calls
from libs.rpc.auth import Gate
from libs.rpc.methods import read_methods
from services.scheduler.policies.facts import EVERYTHING
from services.scheduler.policies.trials import JOBS_PER_BATCH, MOST_BATCH_BYTES, MOST_HITS, PolicyTrials
from services.scheduler.servicer.policy_trials import PolicyTrialServicer
from tests.fakes.clock import FakeClock
from tests.fakes.policies import FakePolicyFinder, GuardParts, deny, rule_result, warn
from tests.fakes.scheduler import FakeJobStore

Policy = policy_pb2.Policy
CALLER = calls.Principal(id="key-1", name="one", permissions=("policy:read",), namespaces=("default",))


class Desk:
    """Trials, and whom they ask."""

    def __init__(self) -> None:
        clock = FakeClock()
        self.parts = GuardParts(clock=clock)
        self.store, self.finder = FakeJobStore(), FakePolicyFinder()
        self.trials = PolicyTrials(
            book=self.parts.book,
            finder=self.finder,
            policies=self.parts.policies,
            questions=self.parts.questions,
            jobs=self.store,
            clock=clock,
        )

    @property
    def asked(self) -> list[decision_service_pb2.Question]:
        """What policies were asked."""
        return self.parts.policies.asked

    async def add(self, job_id: str, namespace: str = "default", body: str = "") -> None:
        target = target_pb2.WebhookTarget(url="https://a.example/x", body=body)
        job = job_pb2.Job(namespace=namespace, id=job_id, uid=job_id, name=job_id, webhook=target)
        await self.store.insert(stored_job_pb2.StoredJob(job=job))

    async def dry_run(
        self,
        policy_id: str = "",
        draft: Policy | None = None,
        *,
        operation: "Policy.Operation.ValueType" = 0,  # type: ignore[assignment]
    ) -> policy_trial_service_pb2.DryRunPolicyResponse:
        return await self.trials.dry_run("", policy_id, draft, operation, caller=CALLER)

    async def evaluate(
        self,
        job: job_pb2.Job,
        draft: Policy | None = None,
        *,
        operation: "Policy.Operation.ValueType" = 0,  # type: ignore[assignment]
    ) -> decision_pb2.Decision:
        return await self.trials.evaluate(job, operation, draft, caller=CALLER)


@pytest.fixture
def desk() -> Desk:
    return Desk()


def by_name(question: decision_service_pb2.Question) -> decision_pb2.Decision:
    """Refuses jobs whose ids begin with `bad`, warns of `odd`, and accounts for `seen`."""
    name = question.job.fields["id"].string_value
    broken = [rule_result()]
    if name.startswith("bad"):
        return decision_pb2.Decision(violations=broken)
    if name.startswith("odd"):
        return decision_pb2.Decision(allowed=True, warnings=broken)
    return decision_pb2.Decision(allowed=True, audited=broken if name.startswith("seen") else [])


async def test_a_dry_run_says_who_would_be_hit_and_changes_nothing(desk: Desk) -> None:
    for name in ("bad-1", "odd-1", "seen-1", "fine-1", "fine-2"):
        await desk.add(name)
    await desk.add("bad-elsewhere", namespace="other")
    desk.parts.policies.judge = by_name
    draft = Policy(name="Naming")
    answer = await desk.dry_run(draft=draft)
    assert [hit.job_id for hit in answer.denied] == ["bad-1"]
    assert [hit.job_id for hit in answer.warned] == ["odd-1", "seen-1"]
    assert answer.denied[0].decision.violations[0] == rule_result()
    counts = (answer.jobs, answer.denied_count, answer.warned_count, answer.unaffected_count)
    assert counts == (5, 1, 2, 2)
    assert desk.parts.policies.drafts == [draft]
    assert desk.parts.accounts.decisions == []
    assert {question.operation for question in desk.asked} == {Policy.UPDATE}
    assert all(question.before == question.job for question in desk.asked)


async def test_a_dry_run_goes_through_many_jobs_in_batches_and_shows_the_first_hits(desk: Desk) -> None:
    jobs = 5 * JOBS_PER_BATCH + 1
    for number in range(jobs):
        await desk.add(f"bad-{number:05}")
    desk.parts.policies.judge = deny
    answer = await desk.dry_run(draft=Policy(name="x"))
    assert desk.parts.policies.batches == [*[JOBS_PER_BATCH] * 5, 1]
    assert (answer.denied_count, len(answer.denied)) == (jobs, MOST_HITS)
    assert answer.denied[0].job_id == "bad-00000"


async def test_large_jobs_go_in_batches_that_fit_into_a_message(desk: Desk) -> None:
    for number in range(30):
        await desk.add(f"large-{number}", body="x" * 200_000)
    answer = await desk.dry_run(draft=Policy(name="x"))
    assert answer.jobs == sum(desk.parts.policies.batches) == 30
    assert len(desk.parts.policies.batches) > 1
    largest = max(question.ByteSize() for question in desk.asked)
    assert max(desk.parts.policies.batches) * largest <= MOST_BATCH_BYTES + largest


async def test_a_stored_policy_is_tried_whether_or_not_it_is_enabled(desk: Desk) -> None:
    await desk.add("one")
    stored = stored_policy_pb2.StoredPolicy(policy=Policy(id="p", name="P", enabled=False), uses=["load"])
    desk.finder.stored["p"] = stored
    await desk.dry_run("p")
    assert desk.parts.policies.drafts == [stored.policy]
    assert desk.asked[0].HasField("load")
    assert not desk.asked[0].HasField("endpoint")


async def test_a_dry_run_needs_a_policy_that_is_there(desk: Desk) -> None:
    with pytest.raises(NotFound):
        await desk.dry_run("nowhere")
    with pytest.raises(InvalidArgument, match="exactly one"):
        await desk.dry_run("")
    with pytest.raises(InvalidArgument, match="exactly one"):
        await desk.dry_run("p", Policy(name="x"))
    with pytest.raises(InvalidArgument, match="judges no jobs"):
        await desk.dry_run(draft=Policy(name="x", type=Policy.CLUSTER))


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (Policy(name="x"), Policy.UPDATE),
        (Policy(name="x", type=Policy.EXECUTION), Policy.RUN),
        (Policy(name="x", operations=[Policy.DELETE]), Policy.DELETE),
        (Policy(name="x", operations=[Policy.DELETE, Policy.UPDATE]), Policy.UPDATE),
    ],
)
async def test_a_dry_run_takes_the_operation_that_the_policy_judges(
    desk: Desk, policy: Policy, expected: "Policy.Operation.ValueType"
) -> None:
    await desk.add("one")
    await desk.dry_run(draft=policy)
    assert desk.asked[0].operation == expected


async def test_the_faults_of_a_draft_are_told_where_the_caller_wrote_them(desk: Desk) -> None:
    def refuse(question: decision_service_pb2.Question) -> decision_pb2.Decision:
        raise InvalidArgument([Violation(field="draft.rules[0].condition.operator", description="is unknown")])

    await desk.add("one")
    desk.parts.policies.judge = refuse
    for attempt in (desk.dry_run(draft=Policy(name="x")), desk.evaluate(job_pb2.Job(name="x"), Policy(name="x"))):
        with pytest.raises(InvalidArgument) as caught:
            await attempt
        assert [one.field for one in caught.value.violations] == ["policy.rules[0].condition.operator"]


async def test_a_job_is_evaluated_by_the_stored_policies_that_apply(desk: Desk) -> None:
    desk.parts.policies.judge = deny
    job = job_pb2.Job(name="half a job", schedule="nonsense")
    assert (await desk.evaluate(job)).allowed
    assert desk.asked == []
    desk.parts.book.applies[Policy.CREATE] = frozenset({"timing"})
    decision = await desk.evaluate(job)
    assert not decision.allowed
    assert decision.violations[0] == rule_result()
    assert (desk.asked[0].operation, desk.asked[0].job["name"]) == (Policy.CREATE, "half a job")
    assert (desk.asked[0].caller, desk.asked[0].namespace) == ("key-1", "default")
    assert desk.parts.accounts.decisions == []


async def test_a_job_is_evaluated_by_a_draft_alone_with_the_facts_that_it_names(desk: Desk) -> None:
    desk.parts.policies.judge = warn
    condition = policy_pb2.Condition(expression="load.job_runs < 3 && endpoint.is_private == false")
    draft = Policy(name="x", type=Policy.EXECUTION, rules=[policy_pb2.Rule(name="r", condition=condition)])
    job = job_pb2.Job(name="x", schedule="0 3 * * *", webhook=target_pb2.WebhookTarget(url="https://a.example/"))
    decision = await desk.evaluate(job, draft, operation=Policy.RUN)
    assert len(decision.warnings) == 1
    question = desk.asked[0]
    assert question.HasField("load")
    assert question.HasField("endpoint")
    assert not question.HasField("timing")
    assert question.extent.runs == 1


async def test_without_an_answer_there_is_no_verdict(desk: Desk) -> None:
    desk.parts.book.applies[Policy.CREATE] = EVERYTHING
    desk.parts.policies.is_away = True
    desk.parts.namespaces.unjudged.add("default")
    with pytest.raises(Unavailable):
        await desk.evaluate(job_pb2.Job(name="x"))


async def test_the_edge_hands_over_what_it_is_asked(desk: Desk) -> None:
    await desk.add("one")
    servicer = PolicyTrialServicer(desk.trials)
    with calls.scope(calls.RequestContext(request_id="r", principal=CALLER)):
        run = policy_trial_service_pb2.DryRunPolicyRequest(policy=Policy(name="x"), operation=Policy.ENABLE)
        assert (await servicer.DryRunPolicy(run, None)).jobs == 1  # type: ignore[arg-type]
        evaluation = policy_trial_service_pb2.EvaluatePoliciesRequest(
            job=job_pb2.Job(name="x"), operation=Policy.DELETE
        )
        assert (await servicer.EvaluatePolicies(evaluation, None)).allowed  # type: ignore[arg-type]
    assert [question.operation for question in desk.asked] == [Policy.ENABLE]
    assert desk.asked[0].caller == "key-1"


def test_a_key_tries_policies_only_in_its_namespaces() -> None:
    methods = {method.name: method for method in read_methods("chronos.scheduler.v1.PolicyTrialService").values()}
    gate = Gate(None, "")
    elsewhere = job_pb2.Job(namespace="other")
    for name, request in (
        ("DryRunPolicy", policy_trial_service_pb2.DryRunPolicyRequest(namespace="other")),
        ("EvaluatePolicies", policy_trial_service_pb2.EvaluatePoliciesRequest(job=elsewhere)),
    ):
        with pytest.raises(Forbidden):
            gate.namespace(methods[name], CALLER, request)
    allowed = policy_trial_service_pb2.DryRunPolicyRequest()
    assert gate.namespace(methods["DryRunPolicy"], CALLER, allowed) == "default"
