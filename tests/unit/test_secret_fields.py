"""Fields that are never shown."""

import pytest
from chronos.scheduler.v1 import job_pb2

from libs.redaction import MASK
from libs.secret_fields import has_secrets, mask, secret_paths, unmask

Job = job_pb2.Job


def job() -> Job:
    made = Job(id="report", tags={"password": "no secret"})
    made.kafka.brokers.append("kafka:9092")
    made.kafka.sasl.username, made.kafka.sasl.password = "ann", "s3cret"
    made.kafka.tls.client_key = "PEM"
    made.signing.secrets.extend(["whsec_one", "whsec_two"])
    return made


def test_secrets_are_masked_wherever_they_are_and_nothing_else() -> None:
    shown = job()
    mask(shown)
    assert (shown.kafka.sasl.username, shown.kafka.sasl.password, shown.kafka.tls.client_key) == ("ann", MASK, MASK)
    assert list(shown.signing.secrets) == [MASK, MASK]
    assert shown.tags["password"] == "no secret"
    assert not shown.signing.qhronos_secret
    assert not shown.HasField("webhook")


def test_masks_that_come_back_mean_what_is_stored() -> None:
    shown = job()
    mask(shown)
    assert unmask(shown, job()) == []
    assert shown == job()


def test_a_mask_with_nothing_behind_it_is_told_by_its_path() -> None:
    shown = job()
    mask(shown)
    stored = Job()
    stored.signing.secrets.append("whsec_one")
    assert unmask(shown, stored) == ["kafka.sasl.password", "kafka.tls.client_key", "signing.secrets[1]"]
    assert not shown.kafka.sasl.password
    assert shown.signing.secrets[0] == "whsec_one"


def test_a_new_secret_stays() -> None:
    changed = job()
    changed.kafka.sasl.password = "new"
    assert unmask(changed, job()) == []
    assert changed.kafka.sasl.password == "new"


def test_a_message_without_secrets_has_none() -> None:
    assert has_secrets(job())
    assert not has_secrets(Job(id="report"))


@pytest.mark.parametrize(
    "path",
    [
        "webhook.auth.basic.password", "webhook.auth.bearer.token", "webhook.auth.api_key.key", "grpc.tls.client_key",
        "kafka.sasl.password", "nats.auth.token", "nats.auth.jwt.nkey_seed", "rabbitmq.password", "signing.secrets",
        "signing.qhronos_secret",
    ],
)  # fmt: skip
def test_every_secret_of_a_job_is_known(path: str) -> None:
    assert path in secret_paths(Job.DESCRIPTOR)
