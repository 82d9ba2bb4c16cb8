"""What history is told about an execution, besides how it went."""

import uuid

import pytest
from chronos.dispatcher.v1 import delivery_service_pb2 as delivery_pb2
from chronos.history.v1 import ledger_service_pb2
from chronos.scheduler.v1 import job_pb2, target_pb2

from services.dispatcher.convert_plans import read_plan
from services.dispatcher.domain.results import Answer
from services.dispatcher.domain.targets.webhook import WebhookPlan
from tests.deliveries import make_delivery, make_job
from tests.unit.dispatcher.rig import Execution, open_rig

ID = uuid.UUID(int=7).bytes
BODY = '{"run": "{{.ExecutionID}}"}'


def secret_job(**auth: object) -> job_pb2.Job:
    job = make_job("https://example.com/hook", body=BODY, headers={"X-Team": "billing", "Cookie": "session=1"})
    job.webhook.auth.CopyFrom(target_pb2.WebhookAuth(**auth))  # type: ignore[arg-type]
    return job


def definition_of(job: job_pb2.Job) -> ledger_service_pb2.Definition:
    message = make_delivery(job)
    message.definition_id = ID
    plan = read_plan(message, user_agent="Chronos/test", dispatcher="dispatcher-0")
    return ledger_service_pb2.ExecutionRecord.FromString(plan.definition).definition


async def test_a_record_names_the_dispatcher_and_the_definition() -> None:
    async with open_rig(replica="dispatcher-7") as rig:
        delivery = make_delivery(make_job("http://example.com/"))
        delivery.definition_id = ID
        await rig.send(delivery)
        record = rig.record(delivery.execution_id)
        assert (record.execution.dispatcher, record.definition_id) == ("dispatcher-7", ID)
        assert record.execution.job_version == 7


async def test_a_sender_that_knows_no_definitions_is_served_by_version() -> None:
    async with open_rig() as rig:
        first = make_delivery(make_job("http://example.com/a"))
        await rig.send(first)
        second = delivery_pb2.Delivery.FromString(first.SerializeToString())
        second.execution_id, second.job.version = str(uuid.uuid4()), 8
        second.job.webhook.url = "http://example.com/b"
        await rig.send(second)
        assert [request.url[-1] for request in rig.sender.requests] == ["a", "b"]
        record = rig.record(first.execution_id)
        assert (record.definition_id, record.HasField("definition")) == (b"", False)


async def test_the_same_version_with_another_definition_is_delivered_otherwise() -> None:
    async with open_rig() as rig:
        first = make_delivery(make_job("http://example.com/a"))
        first.definition_id = b"a" * 16
        replay = delivery_pb2.Delivery.FromString(first.SerializeToString())
        replay.execution_id, replay.definition_id = str(uuid.uuid4()), b"b" * 16
        replay.job.webhook.url = "http://example.com/changed"
        await rig.send(first)
        await rig.send(replay)
        assert rig.sender.requests[-1].url == "http://example.com/changed"
        assert rig.record(replay.execution_id).definition.request.url == "http://example.com/changed"


async def test_where_an_execution_came_from_is_handed_on() -> None:
    async with open_rig(Answer(status_code=503)) as rig:
        delivery = make_delivery(make_job("http://example.com/", max_attempts=2))
        delivery.cause = Execution.REPLAY
        delivery.origin.actor, delivery.origin.replay_of = "key-1", "older"
        delivery.origin.parent_execution_ids.extend(["p1", "p2"])
        await rig.send(delivery)
        assert rig.history.of(delivery.execution_id)
        for execution in rig.history.of(delivery.execution_id):
            assert (execution.actor, execution.replay_of) == ("key-1", "older")
            assert list(execution.parent_execution_ids) == ["p1", "p2"]
            assert execution.cause == Execution.REPLAY


@pytest.mark.parametrize("cause", Execution.Cause.values())
async def test_every_cause_is_recorded_as_given(cause: "Execution.Cause.ValueType") -> None:
    async with open_rig() as rig:
        delivery = make_delivery(make_job("http://example.com/"))
        delivery.cause = cause
        await rig.send(delivery)
        assert rig.record(delivery.execution_id).execution.cause == cause


def test_a_definition_holds_the_request_as_a_template() -> None:
    request = definition_of(secret_job(bearer=target_pb2.BearerAuth(token="hush"))).request
    assert (request.method, request.url, request.body) == ("POST", "https://example.com/hook", BODY)
    assert request.headers["X-Team"] == "billing"
    assert request.headers["User-Agent"] == "Chronos/test"
    assert request.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize(
    ("auth", "header"),
    [
        ({"basic": target_pb2.BasicAuth(username="ann", password="hush")}, "Authorization"),
        ({"bearer": target_pb2.BearerAuth(token="hush")}, "Authorization"),
        ({"api_key": target_pb2.ApiKeyAuth(key="hush")}, "X-API-Key"),
        ({"api_key": target_pb2.ApiKeyAuth(header="X-Token", key="hush")}, "X-Token"),
    ],
)
def test_a_definition_holds_no_secret(auth: dict[str, object], header: str) -> None:
    definition = definition_of(secret_job(**auth))
    assert definition.request.headers[header] == "********"
    assert definition.request.headers["Cookie"] == "********"
    assert b"hush" not in definition.SerializeToString()
    job = job_pb2.Job.FromString(definition.job)
    assert job.name == 'Büro "report"'
    assert b"********" in definition.job


def test_the_secret_of_a_job_is_sent_all_the_same() -> None:
    message = make_delivery(secret_job(bearer=target_pb2.BearerAuth(token="hush")))
    message.definition_id = ID
    plan = read_plan(message, user_agent="x", dispatcher="d")
    assert isinstance(plan.target, WebhookPlan)
    assert plan.target.headers["Authorization"] == "Bearer hush"


@pytest.mark.parametrize(("given", "expected"), [(None, 5), (0, 5), (1, 1), (9, 9)])
def test_a_priority_that_is_not_given_is_in_the_middle(given: int | None, expected: int) -> None:
    job = make_job("http://example.com/")
    if given is not None:
        job.priority = given
    assert read_plan(make_delivery(job), user_agent="x", dispatcher="d").priority == expected
