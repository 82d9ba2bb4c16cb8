"""Where jobs may refer to secrets."""

from collections.abc import Callable

import pytest
from chronos.scheduler.v1 import job_pb2

from libs.rpc.validation import violations_of
from services.scheduler.jobs.targets.references import checkable, reference_violations
from services.scheduler.jobs.targets.tls import violations as tls_violations
from tests.fakes.clock import FakeClock

SECRET = "${secret:vault:secret/billing/stripe:key}"
Job = job_pb2.Job


def fields(job: Job) -> list[str]:
    return [violation.field for violation in reference_violations(job)]


def everywhere() -> Job:
    job = Job(name="x", schedule="@hourly")
    job.webhook.url = f"https://a.example/{SECRET}?key={SECRET}"
    job.webhook.headers["X-Key"] = f"Token {SECRET}"
    job.webhook.body = f'{{"key": "{SECRET}"}}'
    job.webhook.auth.bearer.token = SECRET
    job.signing.secrets.append(SECRET)
    job.signing.qhronos_secret = SECRET
    return job


def test_references_may_stand_in_what_is_sent() -> None:
    assert fields(everywhere()) == []
    assert violations_of(everywhere()) == []


@pytest.mark.parametrize(
    ("put", "field"),
    [
        (lambda job: setattr(job.webhook, "url", f"https://{SECRET}/x"), "webhook.url"),
        (lambda job: setattr(job.webhook, "url", f"https://a.{SECRET}"), "webhook.url"),
        (lambda job: setattr(job.webhook, "url", SECRET), "webhook.url"),
        (lambda job: setattr(job.grpc, "address", SECRET), "grpc.address"),
        (lambda job: job.kafka.brokers.append(SECRET), "kafka.brokers[0]"),
        (lambda job: setattr(job.nats, "url", f"nats://{SECRET}"), "nats.url"),
        (lambda job: setattr(job.rabbitmq, "url", f"amqp://a/{SECRET}"), "rabbitmq.url"),
        (lambda job: setattr(job.rabbitmq, "exchange", SECRET), "rabbitmq.exchange"),
        (lambda job: setattr(job.kafka.tls, "server_name", SECRET), "kafka.tls.server_name"),
        (lambda job: setattr(job.webhook, "body", "${secret:aws:x}"), "webhook.body"),
        (lambda job: setattr(job.signing, "qhronos_secret", "${secret:env:"), "signing.qhronos_secret"),
    ],
)
def test_references_are_refused_where_they_would_hide_the_target_or_mean_nothing(
    put: Callable[[Job], None], field: str
) -> None:
    job = Job()
    put(job)
    assert fields(job) == [field]


def test_rules_about_secrets_pass_references_over() -> None:
    job = everywhere()
    job.kafka.tls.enabled = True
    job.kafka.tls.ca_cert = job.kafka.tls.client_cert = job.kafka.tls.client_key = SECRET
    assert list(tls_violations("kafka.tls", checkable(job).kafka.tls)) == []
    assert SECRET not in str(checkable(everywhere()))


def test_a_job_with_references_is_accepted_as_a_whole_and_one_with_a_secret_host_is_not() -> None:
    from services.scheduler.jobs import resource

    now = FakeClock().now()
    assert resource.violations(resource.with_defaults(everywhere()), {}, now=now) == []
    job = everywhere()
    job.webhook.url = f"https://{SECRET}/"
    found = resource.violations(resource.with_defaults(job), {}, now=now)
    assert [violation.field for violation in found] == ["webhook.url"]


def test_a_secret_that_could_not_be_decrypted_does_not_keep_a_job_from_being_changed() -> None:
    from services.scheduler.jobs import resource

    job = everywhere()
    job.signing.secrets[:] = ["enc:v1:0123abcd:" + "A" * 200]
    assert resource.violations(resource.with_defaults(job), {}, now=FakeClock().now()) == []
