"""Targets as files write them."""

from pathlib import Path
from typing import Any

import pytest
from chronos.scheduler.v1.job_pb2 import Job
from google.protobuf.json_format import ParseDict

from cli.chronosctl.documents import read_one
from cli.chronosctl.errors import UsageError

KAFKA = "brokers: [k:9092], topic: t"
RABBITMQ = "url: 'amqp://mq/', queue: q"


def read(folder: Path, text: str) -> dict[str, Any]:
    path = folder / "job.yaml"
    path.write_text(f"name: a\n{text}\n")
    job = read_one(str(path))
    ParseDict(job, Job())  # what is read is something that the API takes
    del job["name"]
    return job


@pytest.mark.parametrize(
    ("kind", "fields", "plain"),
    [
        ("http", "url: 'https://a.example/', timeout: 5s", {"webhook": {"url": "https://a.example/", "timeout": "5s"}}),
        ("grpc", "target: 'b:443', method: /p.S/M", {"grpc": {"address": "b:443", "method": "/p.S/M"}}),
        ("kafka", f"{KAFKA}, partition: -1", {"kafka": {"brokers": ["k:9092"], "topic": "t", "partition": -1}}),
        ("nats", "url: 'nats://n', subject: s", {"nats": {"url": "nats://n", "subject": "s"}}),
        ("rabbitmq", RABBITMQ, {"rabbitmq": {"url": "amqp://mq/", "queue": "q"}}),
    ],
)  # fmt: skip
def test_a_target_under_dispatch_is_the_one_of_that_name(
    tmp_path: Path, kind: str, fields: str, plain: dict[str, Any]
) -> None:
    assert read(tmp_path, f"dispatch: {{type: {kind}, {kind}: {{{fields}}}}}") == plain
    assert read(tmp_path, f"dispatch: {{{kind}: {{{fields}}}}}") == plain
    assert read(tmp_path, f"{next(iter(plain))}: {{{fields}}}") == plain


def test_a_type_may_stand_beside_the_webhook_at_the_top(tmp_path: Path) -> None:
    wanted = {"webhook": {"url": "https://example.com/"}}
    assert read(tmp_path, "dispatch: {type: HTTP}\nwebhook: {url: 'https://example.com/'}") == wanted
    assert read(tmp_path, "dispatch:\nwebhook: {url: 'https://example.com/'}") == wanted


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("dispatch: kafka", "has fields"),
        ("dispatch: {type: sqs}", "dispatch.type is 'sqs'; it is one of http, grpc"),
        ("dispatch: {sqs: {}}", "no field 'sqs'; there are type, http"),
        ("dispatch: {type: nats, kafka: {}}", "dispatch.type is nats, and dispatch has kafka; leave one"),
        ("dispatch: {nats: {}, kafka: {}}", "one target, and dispatch has kafka and nats; leave one"),
        ("dispatch: {type: nats}", "there is no dispatch.nats; give it"),
        ("dispatch: {http: {url: a}}\nwebhook: {url: b}", "dispatch.http and webhook mean the same"),
    ],
)
def test_a_contradictory_dispatch_is_refused_with_advice(tmp_path: Path, text: str, advice: str) -> None:
    with pytest.raises(UsageError, match=advice):
        read(tmp_path, text)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("acks: 0", "NONE"), ("acks: 1", "LEADER"), ("acks: -1", "ALL"), ("acks: all", "ALL"), ('acks: "-1"', "ALL"),
        ("acks: leader", "LEADER"), ("required_acks: all", "ALL"),
    ],
)  # fmt: skip
def test_kafka_acks_are_written_as_in_kafka(tmp_path: Path, written: str, meant: str) -> None:
    assert read(tmp_path, f"kafka: {{{KAFKA}, {written}}}")["kafka"]["acks"] == meant


def test_other_kafka_values_are_written_as_in_kafka(tmp_path: Path) -> None:
    sasl = "sasl: {mechanism: SCRAM-SHA-512, username: ann, password: x}"
    kafka = read(tmp_path, f"kafka: {{{KAFKA}, compression: none, {sasl}}}")["kafka"]
    assert "compression" not in kafka
    assert kafka["sasl"]["mechanism"] == "SCRAM_SHA_512"
    assert read(tmp_path, f"kafka: {{{KAFKA}, compression: zstd}}")["kafka"]["compression"] == "ZSTD"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("{type: token, token: t}", {"token": "t"}),
        ("{type: userpass, username: ann, password: x}", {"user": {"username": "ann", "password": "x"}}),
        ("{type: nkey, nkey_seed: SU}", {"nkey_seed": "SU"}),
        ("{type: jwt, jwt: ey, nkey_seed: SU}", {"jwt": {"jwt": "ey", "nkey_seed": "SU"}}),
        ("{type: credentials, credentials: text}", {"credentials": "text"}),
        ("{jwt: {jwt: ey, nkey_seed: SU}}", {"jwt": {"jwt": "ey", "nkey_seed": "SU"}}),
    ],
)
def test_nats_credentials_may_be_written_with_their_type(tmp_path: Path, written: str, meant: dict[str, Any]) -> None:
    assert read(tmp_path, f"nats: {{url: 'nats://n', subject: s, auth: {written}}}")["nats"]["auth"] == meant


def test_no_credentials_are_none(tmp_path: Path) -> None:
    assert "auth" not in read(tmp_path, "nats: {url: 'nats://n', subject: s, auth: {type: none}}")["nats"]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("{type: basic, username: ann, password: x}", {"basic": {"username": "ann", "password": "x"}}),
        ("{type: bearer, token: t}", {"bearer": {"token": "t"}}),
        ("{type: api_key, api_key: k, header: X-Key}", {"api_key": {"key": "k", "header": "X-Key"}}),
        ("{bearer: {token: t}}", {"bearer": {"token": "t"}}),
    ],
)
def test_credentials_of_a_webhook_may_be_written_with_their_type(
    tmp_path: Path, written: str, meant: dict[str, Any]
) -> None:
    assert read(tmp_path, f"webhook: {{url: 'https://example.com/', auth: {written}}}")["webhook"]["auth"] == meant


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("true", {"enabled": True}),
        ("{enabled: true, msg_id: m, expect_stream: S, expect_last_msg_id: l}",
         {"enabled": True, "message_id": "m", "stream": "S", "expect_last_message_id": "l"}),
        ("{enabled: true, stream: S, expect_stream: S}", {"enabled": True, "stream": "S"}),
    ],
)  # fmt: skip
def test_jetstream_may_be_written_with_its_other_names(tmp_path: Path, written: str, meant: dict[str, Any]) -> None:
    assert read(tmp_path, f"nats: {{url: 'nats://n', subject: s, jetstream: {written}}}")["nats"]["jetstream"] == meant


@pytest.mark.parametrize(
    ("written", "is_persistent"), [("delivery_mode: 1", False), ("delivery_mode: 2", True), ("delivery_mode: 0", True)]
)
def test_a_delivery_mode_says_whether_a_message_is_kept(tmp_path: Path, written: str, is_persistent: bool) -> None:
    found = read(tmp_path, f"rabbitmq: {{{RABBITMQ}, {written}, confirm_mode: true, immediate: false}}")
    assert found["rabbitmq"] == {"url": "amqp://mq/", "queue": "q", "persistent": is_persistent}


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        (f"rabbitmq: {{{RABBITMQ}, immediate: true}}", "RabbitMQ knows it no more"),
        (f"rabbitmq: {{{RABBITMQ}, confirm_mode: false}}", "confirm_mode is always true"),
        (f"rabbitmq: {{{RABBITMQ}, delivery_mode: 3}}", "delivery_mode is 3; it is 1"),
        (f"rabbitmq: {{{RABBITMQ}, delivery_mode: 1, persistent: true}}", "contradict each other"),
        ("grpc: {target: 'a:1', address: 'a:1'}", "grpc.target is short for grpc.address"),
        ("grpc: {target: 'a:1', max_retries: 3}", "retry_policy: {max_attempts"),
        ("nats: {jetstream: {stream: A, expect_stream: B}}", "expect_stream is short for nats.jetstream.stream"),
        ("nats: {auth: {type: ldap}}", "nats.auth.type is 'ldap'; it is one of token, userpass"),
        ("nats: {auth: {type: token, password: x}}", "of type token has no field 'password'; it has token"),
        ("nats: {auth: {type: credentials, credentials_file: /a}}", "names a file.*nats.auth.credentials"),
        (f"kafka: {{{KAFKA}, tls: {{ca_cert_file: /a}}}}", r"kafka\.tls\.ca_cert_file names a file.*ca_cert: \|"),
    ],
)
def test_what_cannot_be_had_is_refused_with_the_reason(tmp_path: Path, text: str, advice: str) -> None:
    with pytest.raises(UsageError, match=advice):
        read(tmp_path, text)
