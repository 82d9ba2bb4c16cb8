"""CloudEvents, held against the examples of the specification 1.0.2, its JSON format and its protocol bindings."""

import base64
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

import pytest
from chronos.scheduler.v1 import job_pb2, signing_pb2
from hypothesis import given
from hypothesis import strategies as st

from services.dispatcher.convert_contracts import read_contract
from services.dispatcher.domain.cloud_events import CloudEvent, HeaderStyle, envelope, event_headers
from services.dispatcher.domain.contract import Contract
from services.dispatcher.domain.facts import Facts, compile_text
from services.dispatcher.domain.signatures import standard_signature

KEY = b"k" * 24
FACTS = Facts(
    job_id="report",
    job_name="Büro",
    namespace="team",
    execution_id="A234-1234-1234",
    scheduled_time=datetime(2018, 4, 5, 17, 31, tzinfo=UTC),
    attempt=2,
    traceparent="00-a-b-01",
    sent_at=datetime(2018, 4, 5, 17, 31, 1, tzinfo=UTC),
)
EVENT = CloudEvent(source="/mycontext", type="com.example.someevent")
STRUCTURED = replace(EVENT, is_structured=True)
ATTRIBUTES = {
    "specversion": "1.0",
    "type": "com.example.someevent",
    "source": "/mycontext",
    "id": "A234-1234-1234",
    "time": "2018-04-05T17:31:00Z",
}


def enveloped(body: bytes, content_type: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(envelope(EVENT.attributes(FACTS), body, content_type))
    return found


def test_an_execution_is_an_event_whose_attributes_are_those_of_the_specification() -> None:
    assert EVENT.attributes(FACTS) == ATTRIBUTES


def test_a_subject_is_filled_in_and_holds_no_control_characters() -> None:
    event = replace(EVENT, subject=compile_text("run {{.Attempt}} of {{.JobName}}"))
    assert event.attributes(FACTS)["subject"] == "run 2 of Büro"
    assert event.attributes(replace(FACTS, job_name="a\nb\x7f"))["subject"] == "run 2 of a b"
    assert "subject" not in replace(EVENT, subject=compile_text("{{.JobName}}")).attributes(replace(FACTS, job_name=""))


@pytest.mark.parametrize(
    ("style", "prefix"),
    [
        (HeaderStyle.HTTP, "ce-"),
        (HeaderStyle.GRPC, "ce-"),
        (HeaderStyle.NATS, "ce-"),
        (HeaderStyle.KAFKA, "ce_"),
        (HeaderStyle.AMQP, "cloudEvents:"),
    ],
)
def test_in_binary_mode_the_attributes_are_headers_and_the_body_stays(style: HeaderStyle, prefix: str) -> None:
    dressed = Contract(event=EVENT).dress(FACTS, b"<xml/>", "application/xml", style)
    found = {name: value for name, value in dressed.headers.items() if name.startswith(prefix)}
    wanted = {prefix + name: value for name, value in ATTRIBUTES.items()}
    if style is HeaderStyle.NATS:
        wanted["ce-datacontenttype"] = "application/xml"
    assert found == wanted
    assert (dressed.body, dressed.content_type) == (b"<xml/>", "application/xml")
    plain = Contract().dress(FACTS, b"<xml/>", "application/xml", style)
    assert dressed.headers.keys() - plain.headers.keys() == wanted.keys()


def test_the_names_of_the_contract_are_in_lower_case_everywhere_but_in_http() -> None:
    names = list(Contract(secrets=[KEY]).dress(FACTS, b"", "").headers)
    assert names[:2] == ["X-Chronos-Job-ID", "X-Chronos-Execution-ID"]
    for style in set(HeaderStyle) - {HeaderStyle.HTTP}:
        assert list(Contract(secrets=[KEY]).dress(FACTS, b"", "", style).headers) == [name.lower() for name in names]


def test_a_header_is_percent_encoded_as_the_http_binding_shows_it() -> None:
    """`Euro € 😀` is the example of the HTTP binding, 3.1.3.2."""
    assert event_headers({"subject": "Euro € 😀"}, "", HeaderStyle.HTTP) == {
        "ce-subject": "Euro%20%E2%82%AC%20%F0%9F%98%80"
    }
    assert event_headers({"subject": 'a"b%c~!'}, "", HeaderStyle.HTTP) == {"ce-subject": "a%22b%25c~!"}
    assert event_headers({"subject": "Euro €"}, "", HeaderStyle.KAFKA) == {"ce_subject": "Euro €"}


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_percent_encoded_header_is_printable_ascii_and_reads_back(text: str) -> None:
    value = event_headers({"subject": text}, "", HeaderStyle.NATS)["ce-subject"]
    assert all("!" <= character <= "~" and character != '"' for character in value)
    assert unquote(value, errors="strict") == text


def test_binary_data_is_in_base64() -> None:
    """The first example of the JSON format, 3.2."""
    found = enveloped(b"\xff\x00raw", "application/vnd.apache.thrift.binary")
    assert base64.b64decode(found.pop("data_base64")) == b"\xff\x00raw"
    assert found == {**ATTRIBUTES, "datacontenttype": "application/vnd.apache.thrift.binary"}


def test_text_that_is_not_json_is_a_string() -> None:
    """The second example of the JSON format, 3.2."""
    found = enveloped(b'<much wow="xml"/>', "application/xml")
    assert found == {**ATTRIBUTES, "datacontenttype": "application/xml", "data": '<much wow="xml"/>'}


@pytest.mark.parametrize("content_type", ["application/json", "text/json; charset=utf-8", "application/geo+json"])
def test_json_data_is_a_json_value(content_type: str) -> None:
    """The third example of the JSON format, 3.2."""
    data = {"appinfoA": "abc", "appinfoB": 123, "appinfoC": True}
    found = enveloped(json.dumps(data).encode(), content_type)
    assert found == {**ATTRIBUTES, "datacontenttype": content_type, "data": data}


def test_json_without_a_type_is_json() -> None:
    """The fourth example of the JSON format, 3.2."""
    assert enveloped(b'"I\'m just a string"', "") == {**ATTRIBUTES, "data": "I'm just a string"}


def test_data_that_is_null_is_something_else_than_no_data() -> None:
    assert enveloped(b"null", "application/json") == {
        **ATTRIBUTES, "datacontenttype": "application/json", "data": None,
    }  # fmt: skip
    assert enveloped(b"", "application/json") == {**ATTRIBUTES, "datacontenttype": "application/json"}


@pytest.mark.parametrize("body", [b"{", b"NaN", b'{"a": Infinity}', b"\xff", b"[" * 100_000, b'{"a": 1}, "id": "x"'])
def test_what_only_claims_to_be_json_does_not_break_the_envelope(body: bytes) -> None:
    found = enveloped(body, "application/json")
    assert base64.b64decode(found.pop("data_base64")) == body
    assert found == {**ATTRIBUTES, "datacontenttype": "application/json"}


def test_numbers_go_into_the_envelope_as_they_are_written() -> None:
    number = b"1" * 5_000 + b".10"
    assert b'"data":' + number in envelope(ATTRIBUTES, number, "application/json")


@given(st.binary(), st.sampled_from(["", "application/json", "text/plain", "application/octet-stream"]))
def test_an_envelope_holds_what_was_put_in(body: bytes, content_type: str) -> None:
    found = enveloped(body, content_type)
    assert len(found.keys() & {"data", "data_base64"}) == (1 if body else 0)
    assert {name: found[name] for name in ATTRIBUTES} == ATTRIBUTES
    if "data_base64" in found:
        assert base64.b64decode(found["data_base64"]) == body
    elif body and content_type.startswith("text/"):
        assert found["data"].encode() == body
    elif "data" in found and "json" in content_type:
        assert found["data"] == json.loads(body)


def test_a_structured_event_is_signed_as_it_is_sent() -> None:
    dressed = Contract(event=STRUCTURED, secrets=[KEY]).dress(FACTS, b"{}", "application/json")
    assert dressed.content_type == "application/cloudevents+json"
    assert json.loads(dressed.body)["data"] == {}
    timestamp = dressed.headers["webhook-timestamp"]
    wanted = standard_signature([KEY], FACTS.execution_id, timestamp, dressed.body)
    assert dressed.headers["webhook-signature"] == wanted
    assert not [name for name in dressed.headers if name.startswith("ce-")]


def test_what_a_job_leaves_out_of_its_event_takes_its_default() -> None:
    job = job_pb2.Job(namespace="team", id="report")
    assert read_contract(job, usual_secrets=()).event is None
    job.cloud_event.SetInParent()
    assert read_contract(job, usual_secrets=()).event == CloudEvent(
        source="/namespaces/team/jobs/report", type="io.chronos.execution.due"
    )


def test_a_job_says_what_its_events_are() -> None:
    job = job_pb2.Job(
        cloud_event=signing_pb2.CloudEvent(
            mode=signing_pb2.CloudEvent.STRUCTURED, type="t", source="/s", subject="{{.JobID}}"
        )
    )
    event = read_contract(job, usual_secrets=()).event
    assert event is not None
    assert (event.type, event.source, event.is_structured) == ("t", "/s", True)
    assert event.attributes(FACTS)["subject"] == "report"
