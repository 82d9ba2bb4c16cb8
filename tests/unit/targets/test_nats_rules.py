"""What a job with a NATS target must be."""

from typing import Any

import pytest
from chronos.scheduler.v1.nats_target_pb2 import NatsTarget

from libs.redaction import MASK
from services.scheduler.jobs.targets import nats as rules

SEED = "SU" + "A" * 56
CREDS = f"-----BEGIN NATS USER JWT-----\ney.a.b\n------END\n-----BEGIN USER NKEY SEED-----\n{SEED}\n------END"


def make_target(**fields: Any) -> NatsTarget:
    return NatsTarget(**{"url": "nats://nats.example:4222", "subject": "orders.created", **fields})


def found(**fields: Any) -> list[str]:
    return [violation.field for violation in rules.violations(make_target(**fields))]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"url": "nats://a.example, nats://b.example:14222,nats://[::1]:4222"},
        {"url": "tls://a.example", "tls": {"server_name": "b.example"}},
        {"subject": "Orders.EU.größe.created-1"},
        {"request_reply": True, "reply_timeout": {"seconds": 1}},
        {"reply_subject": "answers"},
        {"jetstream": {"enabled": True, "stream": "ORDERS", "message_id": "{{.JobID}}"}},
        {"auth": {"token": "t"}},
        {"auth": {"nkey_seed": SEED}},
        {"auth": {"nkey_seed": MASK}},
        {"auth": {"jwt": {"jwt": "ey.a-b_c.d", "nkey_seed": SEED}}},
        {"auth": {"jwt": {"jwt": MASK, "nkey_seed": MASK}}},
        {"auth": {"credentials": CREDS}},
        {"auth": {"credentials": MASK}},
    ],
)
def test_what_is_right_is_accepted(fields: dict[str, Any]) -> None:
    assert found(**fields) == []


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"url": "nats.example:4222"}, "url"),
        ({"url": "http://nats.example"}, "url"),
        ({"url": "nats://"}, "url"),
        ({"url": "nats://a.example:99999"}, "url"),
        ({"url": "nats://a.example,"}, "url"),
        ({"url": "nats://u:p@a.example"}, "url"),
        ({"url": "nats://a.example/path"}, "url"),
        ({"url": "nats://a.example,tls://b.example"}, "url"),
        ({"url": ",".join(["nats://a.example"] * 17)}, "url"),
        ({"subject": "orders.*"}, "subject"),
        ({"subject": "orders.>"}, "subject"),
        ({"subject": "orders..created"}, "subject"),
        ({"subject": "orders."}, "subject"),
        ({"subject": "orders created"}, "subject"),
        ({"subject": "orders\r\nPUB x 0"}, "subject"),
        ({"reply_subject": "a b"}, "reply_subject"),
        ({"reply_subject": "a", "request_reply": True}, "reply_subject"),
        ({"reply_subject": "a", "jetstream": {"enabled": True}}, "reply_subject"),
        ({"request_reply": True, "jetstream": {"enabled": True}}, "request_reply"),
        ({"reply_timeout": {"seconds": 1}}, "reply_timeout"),
        ({"headers": {"Idempotency-Key": "x"}}, "headers['Idempotency-Key']"),
        ({"headers": {"Nats-Msg-Id": "x"}}, "headers['Nats-Msg-Id']"),
        ({"payload": "{{.Nonsense}}"}, "payload"),
        ({"jetstream": {"stream": "ORDERS"}}, "jetstream.enabled"),
        ({"jetstream": {"enabled": True, "stream": "OR.DERS"}}, "jetstream.stream"),
        ({"jetstream": {"enabled": True, "message_id": "{{.Nonsense}}"}}, "jetstream.message_id"),
        ({"jetstream": {"enabled": True, "message_id": "a\nb"}}, "jetstream.message_id"),
        ({"auth": {"nkey_seed": "UABC"}}, "auth.nkey_seed"),
        ({"auth": {"jwt": {"jwt": "nonsense", "nkey_seed": SEED}}}, "auth.jwt.jwt"),
        ({"auth": {"jwt": {"jwt": "ey.a.b", "nkey_seed": "x"}}}, "auth.jwt.nkey_seed"),
        ({"auth": {"credentials": "/etc/user.creds"}}, "auth.credentials"),
        ({"tls": {"server_name": "b.example"}}, "tls.enabled"),
    ],
)
def test_what_cannot_work_is_refused(fields: dict[str, Any], field: str) -> None:
    assert found(**fields) == [f"nats.{field}"]


def test_what_is_left_out_is_written_out() -> None:
    asking, publishing = make_target(request_reply=True), make_target()
    rules.fill(asking)
    rules.fill(publishing)
    assert asking.reply_timeout.ToTimedelta().total_seconds() == 5
    assert not publishing.HasField("reply_timeout")
