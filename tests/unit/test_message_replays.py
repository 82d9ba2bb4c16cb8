"""Repeating executions that went to brokers and gRPC methods."""

import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from chronos.history.v1 import execution_pb2, ledger_service_pb2
from chronos.scheduler.v1 import job_pb2, run_service_pb2, signing_pb2, stored_job_pb2

from libs.faults import InvalidArgument, WrongState
from libs.templates import parse_template
from services.scheduler.convert.firing import firing_job, is_replay, with_request
from services.scheduler.jobs.secrets import masked_job
from services.scheduler.runs.recorded_requests import TEXTS
from services.scheduler.runs.recorded_secrets import PLACES
from services.scheduler.runs.replays import Replays
from services.scheduler.runs.triggers import Triggers
from tests.fakes.clock import FakeClock
from tests.fakes.policies import no_policies
from tests.fakes.scheduler import FakeJobStore, FakeLedger
from tests.fakes.versions import FakeJobFinder, FakeTriggerStore, FakeVersionStore

Job = job_pb2.Job
Changes = run_service_pb2.RequestChanges
Execution = execution_pb2.Execution
RAN_AT = datetime(2025, 12, 1, 9, tzinfo=UTC)
ORIGINAL = "0193803e-2a80-8000-8000-000000000001"
OLD, NEW = "whsec_" + "b2xk" * 8, "whsec_" + "bmV3" * 8
CERTIFICATE = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
TEXT = '{"run": "{{.ExecutionID}}", "{{.JobName}}": "{{"{{"}}"}'


def kafka_job(version: int, *, password: str = "s3cret", broker: str = "kafka.example.com:9093") -> Job:
    made = bare_job(version)
    made.kafka.brokers.append(broker)
    made.kafka.topic, made.kafka.key, made.kafka.payload = "orders", "{{.JobName}}", TEXT
    made.kafka.headers["X-Team"] = "blue"
    made.kafka.sasl.username, made.kafka.sasl.password = "ann", password
    made.kafka.tls.enabled = True
    return made


def grpc_job(version: int) -> Job:
    made = bare_job(version)
    made.grpc.address, made.grpc.method, made.grpc.payload = "billing.example.com:443", "/billing.Bills/Send", TEXT
    made.grpc.metadata["x-team"] = "blue"
    made.grpc.tls.enabled = True
    made.grpc.tls.client_cert, made.grpc.tls.client_key = CERTIFICATE, "-----BEGIN PRIVATE KEY-----"
    return made


def nats_job(version: int) -> Job:
    made = bare_job(version)
    made.nats.url, made.nats.subject, made.nats.payload = "nats://nats.example.com", "orders.new", TEXT
    made.nats.headers["X-Team"] = "blue"
    made.nats.jetstream.enabled, made.nats.jetstream.message_id = True, "order-{{.ExecutionID}}"
    made.nats.auth.jwt.jwt, made.nats.auth.jwt.nkey_seed = "JWT", "SEED"
    return made


def rabbitmq_job(version: int) -> Job:
    made = bare_job(version)
    made.rabbitmq.url, made.rabbitmq.exchange, made.rabbitmq.payload = "amqps://mq.example.com/", "orders", TEXT
    made.rabbitmq.routing_key = "orders.{{.JobName}}"
    made.rabbitmq.username, made.rabbitmq.password = "ann", "s3cret"
    made.rabbitmq.headers["X-Team"] = "blue"
    return made


def bare_job(version: int) -> Job:
    made = Job(namespace="default", id="report", uid="u1", name='The "Report"', version=version)
    made.timeout.FromTimedelta(timedelta(seconds=7))
    return made


MAKERS = [grpc_job, kafka_job, nats_job, rabbitmq_job]


def websocket_job(version: int) -> Job:
    made = bare_job(version)
    made.websocket.client_name, made.websocket.payload = "till-3", TEXT
    return made


MAKERS_OF_ALL = [*MAKERS, websocket_job]


class Stage:
    """A job whose second version ran; and replays with all that they need."""

    def __init__(self) -> None:
        self.jobs = FakeJobStore()
        self.ledger = FakeLedger()
        self.store = FakeTriggerStore()
        clock, finder = FakeClock(), FakeJobFinder(self.jobs)
        triggers = Triggers(finder, self.store, self.ledger, no_policies(), clock)
        self.replays = Replays(finder, FakeVersionStore(self.jobs), triggers, self.ledger, no_policies(), clock)

    async def write(self, *versions: Job) -> None:
        for version in versions:
            stored = stored_job_pb2.StoredJob(job=version)
            current = await self.jobs.get("default", "report")
            await (self.jobs.replace(stored, revision=current.revision) if current else self.jobs.insert(stored))

    def record(self, job: Job) -> None:
        execution = Execution(
            id=ORIGINAL, namespace="default", job_id="report", job_uid="u1", job_version=job.version,
            status=Execution.FAILED,
        )  # fmt: skip
        execution.scheduled_time.FromDatetime(RAN_AT)
        self.ledger.executions.append(execution)
        self.ledger.definitions[ORIGINAL] = ledger_service_pb2.Definition(job=masked_job(job).SerializeToString())

    def forget(self, version: int) -> None:
        del self.jobs.versions["default", "report"][version]

    async def replay(self, changes: Changes | None = None) -> Job:
        """What is delivered instead of what the job says."""
        given = changes or Changes()
        await self.replays.replay("", "", ORIGINAL, given, skip_retries=False, request_id=str(uuid.uuid4()), actor="")
        return list(self.store.triggers.values())[-1].recorded


async def ran(*versions: Job) -> Stage:
    """The second of these versions ran; the last one is today's."""
    stage = Stage()
    await stage.write(*versions)
    stage.record(versions[1])
    return stage


def rendered(text: str) -> str:
    names = ("JobID", "JobName", "Namespace", "ExecutionID", "ScheduledTime", "Attempt")
    return parse_template(text).render(dict.fromkeys(names, "NEW"))


def test_each_kind_of_target_is_known() -> None:
    kinds = {field.name for field in Job.DESCRIPTOR.oneofs_by_name["target"].fields}
    assert TEXTS.keys() == PLACES.keys() == kinds
    for kind, names in TEXTS.items():
        known = getattr(Job(), kind).DESCRIPTOR.fields_by_name
        assert {*names, *PLACES[kind]} <= set(known)


@pytest.mark.parametrize("make", MAKERS_OF_ALL)
async def test_a_message_is_sent_again_as_it_was_whatever_the_job_says_today(make: Callable[[int], Job]) -> None:
    today = bare_job(3)
    today.webhook.url = "https://example.com/today"
    stage = await ran(make(1), make(2), today)
    recorded = await stage.replay()
    kind = recorded.WhichOneof("target")
    sent, then = getattr(recorded, str(kind)), getattr(make(2), str(kind))
    assert rendered(sent.payload) == f'{{"run": "{ORIGINAL}", "The \\"Report\\"": "{{{{"}}'
    assert sent.timeout.ToTimedelta() == timedelta(seconds=7)
    for name in ("payload", "key", "routing_key", "timeout"):
        for message in (sent, then):
            if name in message.DESCRIPTOR.fields_by_name:
                message.ClearField(name)
    assert sent == then


async def test_keys_are_what_they_were_and_names_in_them_are_not_quoted() -> None:
    assert (await (await ran(kafka_job(1), kafka_job(2))).replay()).kafka.key == 'The "Report"'
    assert (await (await ran(rabbitmq_job(1), rabbitmq_job(2))).replay()).rabbitmq.routing_key == 'orders.The "Report"'


async def test_identities_stay_those_of_the_new_execution() -> None:
    recorded = await (await ran(nats_job(1), nats_job(2))).replay()
    assert recorded.nats.jetstream.message_id == "order-{{.ExecutionID}}"


async def test_nothing_but_what_is_delivered_is_taken_from_the_record() -> None:
    recorded = await (await ran(kafka_job(1), kafka_job(2))).replay()
    assert {field.name for field, _ in recorded.ListFields()} == {"kafka"}


@pytest.mark.parametrize("make", MAKERS)
async def test_body_and_headers_of_a_message_can_be_changed(make: Callable[[int], Job]) -> None:
    stage = await ran(make(1), make(2))
    recorded = await stage.replay(Changes(body='{"try": "{{.ExecutionID}}"}', headers={"x-team": "", "x-why": "test"}))
    kind = str(recorded.WhichOneof("target"))
    sent = getattr(recorded, kind)
    assert rendered(sent.payload) == '{"try": "NEW"}'
    assert dict(sent.metadata if kind == "grpc" else sent.headers) == {"x-why": "test"}


@pytest.mark.parametrize("make", MAKERS_OF_ALL)
async def test_url_and_method_of_a_message_cannot_be_changed(make: Callable[[int], Job]) -> None:
    stage = await ran(make(1), make(2))
    with pytest.raises(InvalidArgument, match="for webhooks only") as caught:
        await stage.replay(Changes(url="https://elsewhere.example/", method="PUT"))
    assert [found.field for found in caught.value.violations] == ["changes.url", "changes.method"]
    assert not stage.store.triggers


async def test_a_target_without_headers_gets_none() -> None:
    stage = await ran(websocket_job(1), websocket_job(2))
    with pytest.raises(InvalidArgument, match="cannot be given for a websocket target"):
        await stage.replay(Changes(headers={"x-why": "test"}))
    assert rendered((await stage.replay(Changes(body="{{.ExecutionID}}"))).websocket.payload) == "NEW"


async def test_a_raw_payload_cannot_be_changed_but_is_sent_again() -> None:
    versions = [grpc_job(1), grpc_job(2)]
    for version in versions:
        version.grpc.payload, version.grpc.raw_payload = "", b"\x08\x01"
    stage = await ran(*versions)
    with pytest.raises(InvalidArgument, match="raw_payload") as caught:
        await stage.replay(Changes(body="{}"))
    assert caught.value.violations[0].field == "changes.body"
    assert (await stage.replay()).grpc.raw_payload == b"\x08\x01"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        (Changes(headers={f"x-{number}": "x" for number in range(65)}), "changes.headers"),
        (Changes(body="x" * 262_145), "changes.body"),
    ],
)
async def test_a_changed_message_must_be_one_that_a_job_could_have(changes: Changes, field: str) -> None:
    stage = await ran(kafka_job(1), kafka_job(2))
    with pytest.raises(InvalidArgument) as caught:
        await stage.replay(changes)
    assert caught.value.violations[0].field == field


async def test_secrets_of_today_do_for_the_same_place_only() -> None:
    stage = await ran(kafka_job(1), kafka_job(2), kafka_job(3, password="today's"))
    stage.forget(2)
    assert (await stage.replay()).kafka.sasl.password == "today's"
    elsewhere = kafka_job(4, password="today's", broker="elsewhere.example:9093")
    unsecured = kafka_job(4, password="today's")
    unsecured.kafka.tls.enabled = False
    somebody_else = kafka_job(4, password="today's")
    somebody_else.kafka.sasl.username = "bob"
    other_kind = nats_job(4)
    for other in (elsewhere, unsecured, somebody_else, other_kind):
        stage = await ran(kafka_job(1), kafka_job(2), kafka_job(3), other)
        stage.forget(2)
        with pytest.raises(WrongState, match=r"version 2 .* credentials of its kafka target.* elsewhere.*trigger"):
            await stage.replay()
        assert not stage.store.triggers


async def test_secrets_for_another_host_are_not_sent_to_the_recorded_one() -> None:
    def webhook(version: int, host: str) -> Job:
        made = bare_job(version)
        made.webhook.url, made.webhook.method = f"https://{host}/hook", "POST"
        made.webhook.auth.bearer.token = f"token for {host}"
        return made

    stage = await ran(webhook(1, "a.example"), webhook(2, "a.example"), webhook(3, "b.example"))
    assert (await stage.replay()).webhook.auth.bearer.token == "token for a.example"
    stage.forget(2)
    with pytest.raises(WrongState, match="bearer credentials"):
        await stage.replay()


async def test_a_replay_is_signed_with_the_secrets_of_today_which_receivers_know() -> None:
    versions = [kafka_job(1), kafka_job(2), kafka_job(3)]
    for version, secret in zip(versions, (OLD, OLD, NEW), strict=True):
        version.signing.secrets.append(secret)
    assert list((await (await ran(*versions)).replay()).signing.secrets) == [NEW]
    versions[2].ClearField("signing")
    assert list((await (await ran(*versions)).replay()).signing.secrets) == [OLD]
    versions[1].signing.secrets[:] = [OLD]
    stage = await ran(*versions)
    stage.forget(2)
    with pytest.raises(WrongState, match="secrets that sign"):
        await stage.replay()


async def test_a_webhook_that_goes_to_another_host_has_neither_signature_nor_client_certificate() -> None:
    versions = [bare_job(1), bare_job(2)]
    for version in versions:
        version.webhook.url, version.webhook.method = "https://a.example/", "POST"
        version.webhook.tls.client_cert, version.webhook.tls.client_key = CERTIFICATE, "KEY"
        version.signing.secrets.append(OLD)
    stage = await ran(*versions)
    same_host = await stage.replay(Changes(url="https://a.example/other"))
    assert (list(same_host.signing.secrets), same_host.webhook.tls.client_key) == ([OLD], "KEY")
    elsewhere = await stage.replay(Changes(url="https://b.example/"))
    assert (elsewhere.HasField("signing"), elsewhere.webhook.HasField("tls")) == (False, False)


async def test_the_event_is_the_recorded_one_with_its_subject_filled_in() -> None:
    versions = [kafka_job(1), kafka_job(2), kafka_job(3)]
    versions[1].cloud_event.mode = signing_pb2.CloudEvent.STRUCTURED
    versions[1].cloud_event.subject = "{{.ExecutionID}}"
    recorded = await (await ran(*versions)).replay()
    assert (recorded.cloud_event.mode, recorded.cloud_event.subject) == (signing_pb2.CloudEvent.STRUCTURED, ORIGINAL)


async def test_what_was_recorded_takes_the_place_of_what_the_job_delivers() -> None:
    today = kafka_job(3)
    today.signing.secrets.append(NEW)
    today.cloud_event.type = "today"
    today.schedule = "@manual"
    trigger = stored_job_pb2.StoredTrigger(recorded=Job(nats=nats_job(2).nats))
    job = with_request(firing_job(stored_job_pb2.StoredJob(job=today), {}), trigger)
    definition = Job.FromString(job.definition)
    assert is_replay(trigger)
    assert definition.nats == nats_job(2).nats
    assert not definition.HasField("signing")
    assert not definition.HasField("cloud_event")
    assert (definition.id, definition.name, definition.version) == ("report", today.name, 3)


async def test_a_replay_that_an_older_version_promised_is_still_kept() -> None:
    today = kafka_job(3)
    today.schedule = "@manual"
    trigger = stored_job_pb2.StoredTrigger()
    trigger.webhook.url = "https://example.com/then"
    job = with_request(firing_job(stored_job_pb2.StoredJob(job=today), {}), trigger)
    assert is_replay(trigger)
    assert Job.FromString(job.definition).webhook.url == "https://example.com/then"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        (Changes(headers={"ce-id": "x"}), "changes.headers['ce-id']"),
        (Changes(method="GET", body=""), "changes.method"),
    ],
)
async def test_changes_do_not_spoil_an_event(changes: Changes, field: str) -> None:
    versions = [bare_job(1), bare_job(2)]
    for version in versions:
        version.webhook.url, version.webhook.method = "https://a.example/", "POST"
        version.cloud_event.CopyFrom(
            signing_pb2.CloudEvent(mode=signing_pb2.CloudEvent.STRUCTURED, subject="{{.JobName}}")
        )
    versions[1].name = "{{odd}}"
    stage = await ran(*versions)
    with pytest.raises(InvalidArgument) as caught:
        await stage.replay(changes)
    assert [found.field for found in caught.value.violations] == [field]
    recorded = await stage.replay(Changes(headers={"x-why": "test"}))
    assert rendered(recorded.cloud_event.subject) == "{{odd}}"
