"""Jobs that refer to secrets, from the delivery to what is sent and shown."""

import base64
import gc
import json
from collections.abc import Callable, Mapping

import pytest
from chronos.history.v1 import ledger_service_pb2
from chronos.scheduler.v1 import job_pb2

from libs.redaction import MASK
from libs.secret_references import Reference
from services.dispatcher.convert_plans import read_plan
from services.dispatcher.convert_secrets import read_with_secrets
from services.dispatcher.deferred_sender import DeferredSender
from services.dispatcher.domain.breaker import Sign
from services.dispatcher.domain.deferred import DeferredTarget, Unresolved, conceal
from services.dispatcher.domain.outcome import Verdict
from services.dispatcher.domain.plan import Plan
from services.dispatcher.domain.results import Answer, Failure, FailureKind, Receipt, Reply
from services.dispatcher.domain.targets.webhook import HttpRequest
from services.dispatcher.secret_values import SecretValues
from services.dispatcher.settings import DispatcherSettings
from tests.deliveries import make_delivery, make_job
from tests.fakes.clock import FakeClock
from tests.fakes.sender import FakeSender
from tests.unit.dispatcher.test_request import FACTS

A, B = "${secret:env:A}", "${secret:env:B}"
WHSEC = "whsec_" + base64.b64encode(b"k" * 32).decode()


class Environment:
    """Variables, which can change."""

    def __init__(self, values: Mapping[str, str | Failure]) -> None:
        self.values = dict(values)
        self.reads = 0

    async def read(self, name: str) -> str | Failure:
        self.reads += 1
        return self.values[name]


class Rig:
    """A target, what stands behind its references, and what is sent to it."""

    def __init__(self, values: Mapping[str, str | Failure], *answers: Answer | Failure) -> None:
        self.environment, self.clock, self.sender = Environment(values), FakeClock(), FakeSender(*answers)
        settings = DispatcherSettings()
        self.deferred = DeferredSender(
            SecretValues(
                {"env": self.environment}, {}, self.clock,
                lifetime=settings.secret_lifetime, timeout=settings.secret_timeout,
            ),
            self.sender,
            self.clock,
        )  # fmt: skip

    async def attempt(self, job: job_pb2.Job, plan: Plan | None = None) -> Verdict:
        target = (plan or plan_of(job)).target
        assert isinstance(target, DeferredTarget)
        return target.judge(await self.deferred.send(target.request(FACTS)))

    @property
    def sent(self) -> HttpRequest:
        return self.sender.requests[-1]


def plan_of(job: job_pb2.Job) -> Plan:
    message = make_delivery(job)
    message.definition_id = b"d"
    return read_plan(message, user_agent="x", dispatcher="d")


def test_a_job_without_references_is_planned_as_ever() -> None:
    assert not isinstance(plan_of(make_job("http://a.example/")).target, DeferredTarget)


async def test_secrets_are_filled_in_wherever_they_are_referred_to() -> None:
    job = make_job(f"http://a.example/x?key={A}", headers={"X-Key": f"Token {A}"}, body=f"a={A}&b={B}")
    job.webhook.auth.bearer.token = B
    rig = Rig({"A": "one", "B": "two"})
    assert (await rig.attempt(job)).is_success
    assert rig.sent.url == "http://a.example/x?key=one"
    assert rig.sent.headers["X-Key"] == "Token one"
    assert rig.sent.headers["Authorization"] == "Bearer two"
    assert rig.sent.body == b"a=one&b=two"


async def test_a_secret_means_itself_wherever_it_stands() -> None:
    nasty = 'q"\\{{.JobID}}&#/ \n${secret:env:B}é'
    job = make_job(f"http://a.example/{A}?x={A}", body=json.dumps({"key": A, "id": "{{.JobID}}"}))
    rig = Rig({"A": nasty})
    await rig.attempt(job)
    assert json.loads(rig.sent.body or b"") == {"key": nasty, "id": FACTS.job_id}
    path, _, query = rig.sent.url.removeprefix("http://a.example/").partition("?x=")
    assert path == query
    assert not set(path) & set('"/&#{} \n')


async def test_a_secret_in_plain_text_is_sent_as_it_is() -> None:
    nasty = 'q"\\{{.JobID}}'
    rig = Rig({"A": nasty})
    await rig.attempt(make_job("http://a.example/", headers={"Content-Type": "text/plain"}, body=f"{A} {{{{.JobID}}}}"))
    assert rig.sent.body == f"{nasty} {FACTS.job_id}".encode()


async def test_no_reference_leads_to_another_host() -> None:
    job = make_job(f"http://{A}/x", headers={"X-Key": A})
    rig = Rig({"A": "evil.example"})
    await rig.attempt(job)
    assert rig.sent.url == f"http://{A}/x"


async def test_deliveries_can_be_signed_with_secrets_from_elsewhere() -> None:
    job, plain = make_job("http://a.example/", body="x"), make_job("http://a.example/", body="x")
    job.signing.secrets.append(A)
    plain.signing.secrets.append(WHSEC)
    rig, target = Rig({"A": WHSEC}), plan_of(plain).target
    assert target is not None
    await rig.attempt(job)
    expected = target.request(FACTS)
    assert isinstance(expected, HttpRequest)
    assert rig.sent.headers["webhook-signature"] == expected.headers["webhook-signature"]


def test_what_is_shown_and_kept_holds_the_references() -> None:
    job = make_job(f"http://a.example/?key={A}", headers={"X-Key": A}, body=A)
    job.webhook.auth.bearer.token = A
    plan = plan_of(job)
    assert plan.target is not None
    shown = plan.target.shown
    assert (shown.url, shown.headers["X-Key"], shown.body) == (f"http://a.example/?key={A}", A, A)
    record = ledger_service_pb2.ExecutionRecord.FromString(plan.definition)
    assert job_pb2.Job.FromString(record.definition.job).webhook.auth.bearer.token == A
    assert plan.endpoint == "a.example:80"


async def test_a_rotated_secret_is_used_when_the_old_one_is_not_fresh_any_more() -> None:
    job = make_job("http://a.example/", headers={"X-Key": A})
    rig, plan = Rig({"A": "old"}), plan_of(job)
    await rig.attempt(job, plan)
    rig.environment.values["A"] = "new"
    await rig.attempt(job, plan)
    assert (rig.sent.headers["X-Key"], rig.environment.reads) == ("old", 1)
    await rig.clock.advance(DispatcherSettings().secret_lifetime)
    await rig.attempt(job, plan)
    assert (rig.sent.headers["X-Key"], rig.environment.reads) == ("new", 2)


async def test_a_target_with_its_secrets_is_kept_no_longer_than_its_plan() -> None:
    job = make_job("http://a.example/", headers={"X-Key": A})
    rig, plan = Rig({"A": "old"}), plan_of(job)
    await rig.attempt(job, plan)
    assert len(rig.deferred._kept) == 1
    del plan
    gc.collect()
    assert len(rig.deferred._kept) == 0


@pytest.mark.parametrize(("kind", "is_retryable"), [(FailureKind.UNREADY, True), (FailureKind.INVALID, False)])
async def test_a_secret_that_cannot_be_had_fails_the_attempt_and_says_nothing_of_the_host(
    kind: FailureKind, is_retryable: bool
) -> None:
    rig = Rig({"A": Failure(kind=kind, error="it is away")})
    verdict = await rig.attempt(make_job("http://a.example/", headers={"X-Key": A}))
    assert verdict.error == f"the secret {A} cannot be had: it is away"
    assert (verdict.is_success, verdict.is_retryable, verdict.is_unsent) == (False, is_retryable, True)
    assert verdict.sign is Sign.NONE
    assert rig.sender.requests == []


async def test_a_target_that_means_nothing_with_its_secrets_fails_without_showing_them() -> None:
    job = make_job("http://a.example/")
    job.signing.secrets.append(A)
    verdict = await Rig({"A": "hunter2hunter2"}).attempt(job)
    assert verdict.error.startswith("the job cannot be delivered with its secrets filled in: ")
    assert not verdict.is_retryable
    assert "hunter2" not in verdict.error


async def test_a_receiver_that_repeats_what_it_was_sent_puts_no_secret_into_the_ledger() -> None:
    job = make_job(f"http://a.example/?k={A}")
    job.webhook.auth.basic.username, job.webhook.auth.basic.password = "ann", A
    secret = 'p&"ss word'
    basic = base64.b64encode(f"ann:{secret}".encode()).decode()
    rig = Rig(
        {"A": secret}, Answer(status_code=302, body=f"{secret} Basic {basic}".encode(), location="/?k=p%26%22ss%20word")
    )
    verdict = await rig.attempt(job)
    assert verdict.response == f"{MASK} Basic {MASK}"
    assert f"to /?k={MASK};" in verdict.error


def test_secrets_are_taken_out_of_every_kind_of_result() -> None:
    hidden = ["s3cret"]
    assert conceal(Reply(code=3, details="no s3cret", body="s3cret"), hidden) == Reply(
        code=3, details=f"no {MASK}", body=MASK
    )
    assert conceal(Receipt(response="s3cret"), hidden) == Receipt(response=MASK)
    assert conceal(Failure(kind=FailureKind.BROKEN, error="at s3cret"), hidden).error == f"at {MASK}"  # type: ignore[union-attr]
    unresolved = Unresolved(kind=FailureKind.UNREADY, error="x")
    assert conceal(unresolved, hidden) == unresolved


def test_a_secret_that_was_cut_off_is_taken_out_too() -> None:
    cut = conceal(Answer(status_code=200, body=b"you sent s3cre", is_truncated=True), ["s3cret"])
    assert cut == Answer(status_code=200, body=b"you sent ", is_truncated=True)


def test_stored_secrets_that_could_not_be_decrypted_are_never_sent() -> None:
    job = make_job("http://a.example/")
    job.webhook.auth.bearer.token = "enc:v1:0123abcd:AAAA"
    plan = plan_of(job)
    assert plan.target is None
    assert "webhook.auth.bearer.token was stored encrypted and cannot be decrypted" in plan.error


def test_a_reference_that_means_nothing_is_an_error_of_the_job() -> None:
    plan = plan_of(make_job("http://a.example/", headers={"X-Key": "${secret:aws:x}"}))
    assert plan.target is None
    assert 'unknown source "aws"' in plan.error


def test_a_target_of_a_kind_that_is_not_known_stays_one() -> None:
    job = make_job("http://a.example/", headers={"X-Key": A})
    assert read_with_secrets(job, lambda _: None) is None


def test_no_secret_shows_in_the_text_of_values() -> None:
    job = make_job("http://a.example/", headers={"X-Key": A})
    target = plan_of(job).target
    assert isinstance(target, DeferredTarget)
    bound = target.bind({Reference("env", "A"): "hunter2"})
    assert "hunter2" not in repr(bound) + repr(target)


SEED = "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY"
CREDENTIALS = f"""-----BEGIN NATS USER JWT-----
eyJ0.eyJ1.c2ln
------END NATS USER JWT------
-----BEGIN USER NKEY SEED-----
{SEED}
------END USER NKEY SEED------
"""


def kafka(job: job_pb2.Job) -> None:
    job.kafka.brokers.append("kafka.example:9092")
    job.kafka.topic, job.kafka.payload, job.kafka.key = "t", A, A
    job.kafka.sasl.username, job.kafka.sasl.password = A, A
    job.kafka.tls.enabled, job.kafka.tls.ca_cert = True, A


def nats(job: job_pb2.Job) -> None:
    job.nats.url, job.nats.subject, job.nats.payload = "nats://nats.example:4222", "s", A
    job.nats.auth.credentials = A


def nats_key(job: job_pb2.Job) -> None:
    job.nats.url, job.nats.subject, job.nats.headers["X-Key"] = "nats://nats.example:4222", "s", A
    job.nats.auth.nkey_seed = A


def rabbitmq(job: job_pb2.Job) -> None:
    job.rabbitmq.url, job.rabbitmq.queue, job.rabbitmq.payload = "amqps://rabbit.example:5671/", "q", A
    job.rabbitmq.username, job.rabbitmq.password, job.rabbitmq.tls.client_key = A, A, A
    job.rabbitmq.tls.client_cert = A


def grpc(job: job_pb2.Job) -> None:
    job.grpc.address, job.grpc.method = "grpc.example:443", "/a.B/C"
    job.grpc.payload, job.grpc.metadata["authorization"] = f'{{"key": "{A}"}}', f"Bearer {A}"


@pytest.mark.parametrize(
    ("fill", "secret"),
    [(kafka, "hunter2"), (nats, CREDENTIALS), (nats_key, SEED), (rabbitmq, "hunter2"), (grpc, "hunter2")],
)
def test_targets_of_every_kind_can_wait_for_their_secrets(fill: Callable[[job_pb2.Job], None], secret: str) -> None:
    job = make_job("http://a.example/")
    fill(job)
    plan = plan_of(job)
    target = plan.target
    assert isinstance(target, DeferredTarget), plan.error
    assert f"{job.WhichOneof('target')}.example".replace("mq", "") in target.endpoint
    assert target.references == (Reference("env", "A"),)
    bound = target.bind({Reference("env", "A"): secret})
    assert A not in str(bound.plan.request(FACTS))
    assert bound.plan.endpoint == target.endpoint
