"""NATS targets: what is published, what is shown, and how the server's words are read."""

import json
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from chronos.scheduler.v1 import nats_target_pb2
from hypothesis import given
from hypothesis import strategies as st

from libs.secret_fields import secret_paths
from services.dispatcher.adapters import nats_errors, nats_wire
from services.dispatcher.adapters.nats_wire import Event, Message, Parser, ServerError, ServerInfo, Signal
from services.dispatcher.convert_targets.nats import read_nats
from services.dispatcher.domain.contract import Contract
from services.dispatcher.domain.facts import Facts
from services.dispatcher.domain.results import Answer, Failure, FailureKind, Receipt
from services.dispatcher.domain.targets.nats import Manner, NatsPlan
from services.dispatcher.domain.targets.nats_servers import NKey, Server, Token, UserPassword
from tests.deliveries import TRACEPARENT

Target = nats_target_pb2.NatsTarget
SERVER = Server("nats.example", 4222)
CREDS = "-----BEGIN NATS USER JWT-----\ney.a-b.c\n------END\n\n-----BEGIN USER NKEY SEED-----\r\n SUSEED \n------END"


def make_facts(job_name: str = 'the "report"') -> Facts:
    moment = datetime(2026, 1, 1, 12, tzinfo=UTC)
    return Facts(
        job_id="report", job_name=job_name, namespace="default", execution_id="e-1", scheduled_time=moment, attempt=1,
        traceparent=TRACEPARENT, sent_at=moment,
    )  # fmt: skip


def make_plan(**fields: Any) -> NatsPlan:
    target = Target(**{"url": "nats://nats.example", "subject": "orders.created", **fields})
    return read_nats(target, timeout=timedelta(seconds=30), contract=Contract())


def test_a_plan_knows_where_it_goes() -> None:
    plan = make_plan(url="nats://a.example, nats://[::1]:14222", payload="x" * 100)
    assert plan.endpoint == "a.example:4222"
    assert plan.message.access.servers == (Server("a.example", 4222), Server("::1", 14222))
    assert str(Server("::1", 14222)) == "[::1]:14222"
    assert plan.weight > 200


def test_what_is_shown_holds_no_secret() -> None:
    plan = make_plan(url="tls://nats.example", auth={"token": "hush"}, headers={"Team": "billing"}, payload="{}")
    assert (plan.shown.method, plan.shown.url) == ("PUBLISH", "tls://nats.example:4222/orders.created")
    assert (plan.shown.headers, plan.shown.body) == ({"Team": "billing"}, "{}")
    assert "hush" not in repr(plan)
    assert make_plan(request_reply=True).shown.method == "REQUEST"


def test_secrets_are_marked_in_the_contract() -> None:
    assert secret_paths(Target.DESCRIPTOR) == {
        "tls.client_key", "auth.token", "auth.user.password", "auth.nkey_seed", "auth.jwt.jwt", "auth.jwt.nkey_seed",
        "auth.credentials",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "manner"),
    [
        ({}, Manner.PUBLISH),
        ({"reply_subject": "answers"}, Manner.PUBLISH),
        ({"request_reply": True}, Manner.REQUEST),
        ({"jetstream": {"enabled": True}}, Manner.STREAM),
        ({"jetstream": {"enabled": False, "stream": "S"}}, Manner.PUBLISH),
    ],
)
def test_the_manner_follows_the_fields(fields: dict[str, Any], manner: Manner) -> None:
    request = make_plan(**fields).request(make_facts())
    assert request.manner is manner
    assert ("Nats-Msg-Id" in request.headers) == (manner is Manner.STREAM)


def test_an_id_that_a_template_makes_stays_on_its_line() -> None:
    plan = make_plan(jetstream={"enabled": True, "message_id": "{{.JobName}}"})
    assert plan.request(make_facts("a\r\nNats-Rollup: all")).headers["Nats-Msg-Id"] == "a  Nats-Rollup: all"
    assert plan.request(make_facts(" ")).headers["Nats-Msg-Id"] == "e-1"


def test_names_are_escaped_in_a_payload_that_is_json() -> None:
    for payload, headers, written in (
        ('{"n": "{{.JobName}}"}', {}, b'{"n": "the \\"report\\""}'),
        ("{{.JobName}}", {}, b'the "report"'),
        ("{{.JobName}}", {"Content-Type": "application/json"}, b'the \\"report\\"'),
        ('["{{.JobName}}"]', {"content-type": "text/plain"}, b'["the "report""]'),
    ):
        assert make_plan(payload=payload, headers=headers).request(make_facts()).payload == written


def test_headers_that_would_break_the_protocol_are_refused() -> None:
    for headers in ({"A": "x\r\nB: y"}, {"A: B": "x"}, {"": "x"}):
        with pytest.raises(ValueError, match="cannot be sent"):
            make_plan(headers=headers)


@pytest.mark.parametrize("url", ["", "http://a.example", "nats://", "a.example:4222", "nats://a.example:99999"])
def test_what_names_no_server_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        make_plan(url=url)


def test_all_kinds_of_credentials_are_read() -> None:
    for auth, credentials in (
        ({"token": "t"}, Token(token="t")),
        ({"user": {"username": "u", "password": "p"}}, UserPassword(username="u", password="p")),
        ({"nkey_seed": " SU "}, NKey(seed="SU")),
        ({"jwt": {"jwt": "j", "nkey_seed": "SU"}}, NKey(seed="SU", jwt="j")),
        ({"credentials": CREDS}, NKey(seed="SUSEED", jwt="ey.a-b.c")),
        (None, None),
    ):
        assert make_plan(auth=auth).message.access.credentials == credentials
    with pytest.raises(ValueError, match=r"\.creds"):
        make_plan(auth={"credentials": "nonsense"})


def test_tls_is_needed_where_the_address_or_the_job_asks_for_it() -> None:
    assert not make_plan().message.access.needs_tls
    assert make_plan(url="tls://a.example").message.access.needs_tls
    assert make_plan(tls={"enabled": True}).message.access.needs_tls
    assert not make_plan(tls={"ca_cert": "for servers that demand it"}).message.access.needs_tls


def test_receipts_and_failures_are_judged_and_nothing_else() -> None:
    plan = make_plan()
    verdict = plan.judge(Receipt(response="stream S, sequence 1"))
    assert (verdict.is_success, verdict.response) == (True, "stream S, sequence 1")
    assert not plan.judge(Failure(kind=FailureKind.REFUSED, error="no")).is_retryable
    with pytest.raises(TypeError):
        plan.judge(Answer(status_code=200))


SENT = (
    b'INFO {"headers": true}\r\n-ERR \'Permissions Violation for Publish to "a.B"\'\r\nPONG\r\nPING\r\n+OK\r\n'
    b"MSG in.1 1 5\r\nhe\r\nl\r\nHMSG in.2 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\nHMSG in.3 1 reply 18 20\r\n"
    b"NATS/1.0\r\na: b\r\n\r\nok\r\n"
)
EVENTS: list[Event] = [
    ServerInfo({"headers": True}),
    ServerError('Permissions Violation for Publish to "a.B"'),
    Signal.PONG,
    Signal.PING,
    Signal.OK,
    Message("in.1", "", b"he\r\nl"),
    Message("in.2", "503", b""),
    Message("in.3", "", b"ok"),
]


@given(st.lists(st.integers(min_value=0, max_value=len(SENT)), max_size=8))
def test_what_a_server_sends_is_understood_however_it_is_cut(cuts: list[int]) -> None:
    parser, places = Parser(), [0, *sorted(cuts), len(SENT)]
    heard = [event for begin, end in pairwise(places) for event in parser.feed(SENT[begin:end])]
    assert heard == EVENTS
    assert parser.is_empty


@pytest.mark.parametrize("data", [b"HELLO\r\n", b"INFO nonsense\r\n", b"INFO []\r\n", b"MSG a\r\n", b"MSG a 1 x\r\n"])
def test_what_is_no_nats_is_told(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        list(Parser().feed(data))
    with pytest.raises(ValueError, match="a line of more than"):
        list(Parser().feed(b"x" * (nats_wire.LONGEST_LINE + 1)))


def test_the_size_of_a_message_is_that_of_its_headers_and_payload() -> None:
    headers, payload = {"a": "é", "b": ""}, b"hello"
    line = nats_wire.message_bytes("s", "", headers, payload).partition(b"\r\n")[0]
    assert int(line.split()[-1]) == nats_wire.message_size(headers, payload)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Authorization Violation", FailureKind.CREDENTIALS),
        ("User Authentication Expired", FailureKind.CREDENTIALS),
        ("maximum connections exceeded", FailureKind.UNREADY),
        ("maximum account active connections exceeded", FailureKind.UNREADY),
        ("Secure Connection - TLS Required", FailureKind.TLS),
        ("Server Shutdown", FailureKind.CONNECT),
    ],
)
def test_a_refused_greeting_is_classified(text: str, kind: FailureKind) -> None:
    assert nats_errors.greeting_failure(text, SERVER).kind is kind


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"code": 400, "err_code": 10060, "description": "expected stream does not match"}, FailureKind.REFUSED),
        ({"code": 400, "err_code": 10070, "description": "wrong last msg ID: x"}, FailureKind.REFUSED),
        ({"code": 503, "err_code": 10039, "description": "JetStream not enabled for account"}, FailureKind.REFUSED),
        ({"code": 503, "err_code": 10077, "description": "maximum messages exceeded"}, FailureKind.UNREADY),
        ({"code": 503, "err_code": 10008, "description": "system temporarily unavailable"}, FailureKind.UNREADY),
        ({"code": 409, "err_code": 10158, "description": "message id is in process"}, FailureKind.UNREADY),
        ({"code": 500, "err_code": 10041, "description": "general raft error"}, FailureKind.BROKEN),
        ({"code": 400, "err_code": 10109, "description": "invalid operation on sealed stream"}, FailureKind.REFUSED),
        ({}, FailureKind.REFUSED),
    ],
)
def test_what_a_stream_answers_is_classified(error: dict[str, Any], kind: FailureKind) -> None:
    read = nats_errors.read_acknowledgement(json.dumps({"error": error}).encode(), "orders", "S")
    assert isinstance(read, Failure)
    assert read.kind is kind


def test_a_stream_without_a_leader_is_told_from_none_at_all() -> None:
    there = nats_errors.read_stream_names(b'{"streams": ["ORDERS"]}', "orders")
    none = nats_errors.read_stream_names(b'{"streams": null}', "orders")
    unclear = nats_errors.read_stream_names(b"hello", "orders")
    assert [one.kind for one in (there, none, unclear)] == [
        FailureKind.UNREADY, FailureKind.REFUSED, FailureKind.UNREADY,
    ]  # fmt: skip
