"""JSON bodies against the contract's own descriptors."""

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import pytest
from chronos.scheduler.v1.job_pb2 import Job
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st

from libs.contract import read_contract
from libs.faults import InvalidArgument, NotFound
from services.gateway.adapters.body_rules import read_bodies
from services.gateway.domain.bodies import WRONG_MEDIA_TYPE, Bodies, BodyHeaders
from services.gateway.domain.fit import MOST_VIOLATIONS, misfits
from services.gateway.domain.json_text import parse
from services.gateway.domain.shapes import FieldShape, Kind, MessageShape, Shape
from services.gateway.settings import GatewaySettings

BODIES = read_bodies(read_contract(GatewaySettings.model_fields["descriptor_file"].default.read_bytes()))
JSON = BodyHeaders(content_type="application/json", content_encoding="")
JOB: dict[str, Any] = {
    "name": "Report",
    "schedule": "@hourly",
    "webhook": {"url": "http://x", "headers": {"A": "b"}, "success_codes": [200, 201]},
    "retry_policy": {"max_attempts": 3, "multiplier": 1.5},
    "timeout": "30s",
    "enabled": True,
}


def check(body: object, *, verb: str = "POST", path: str = "/api/v1/jobs", headers: BodyHeaders = JSON) -> None:
    match body:
        case bytes():
            raw = body
        case str():
            raw = body.encode()
        case _:
            raw = json.dumps(body).encode()
    BODIES.check(verb, path, headers, raw)


def violations(body: object, **where: Any) -> dict[str, str]:
    with pytest.raises(InvalidArgument) as caught:
        check(body, **where)
    return {violation.field: violation.description for violation in caught.value.violations}


def message(body: object, **where: Any) -> str:
    with pytest.raises(InvalidArgument) as caught:
        check(body, **where)
    return caught.value.message


def test_a_good_job_may_go_on() -> None:
    check(JOB)


def test_camel_case_names_are_taken_as_protobuf_takes_them() -> None:
    check({"retryPolicy": {"maxAttempts": 3}})


def test_an_unknown_field_is_told_its_nearest_right_spelling() -> None:
    assert violations({**JOB, "timezon": "UTC"}) == {"timezon": "unknown field `timezon`; did you mean `timezone`?"}


def test_an_unknown_field_far_down_is_named_with_its_path() -> None:
    assert list(violations({**JOB, "webhook": {"url": "http://x", "hedaers": {}}})) == ["webhook.hedaers"]


def test_an_unknown_field_that_resembles_nothing_is_told_what_there_is() -> None:
    assert "the fields here are namespace, id" in violations({"zzz": 1})["zzz"]


def test_all_wrong_fields_are_told_in_the_order_in_which_they_are_written() -> None:
    assert list(violations({"timezon": 1, "name": 5, "enabled": "yes"})) == ["timezon", "name", "enabled"]


def test_there_is_an_end_to_the_violations_told() -> None:
    assert len(violations({f"zz{number}": 1 for number in range(100)})) == MOST_VIOLATIONS


@pytest.mark.parametrize(
    ("change", "field", "said"),
    [
        ({"name": 5}, "name", "must be a string, not a number"),
        ({"name": ["x"]}, "name", "must be a string, not a list"),
        ({"enabled": "true"}, "enabled", "true or false without quotes"),
        ({"enabled": 1}, "enabled", "true or false"),
        ({"version": 1.5}, "version", "without a fraction"),
        ({"version": 2**31}, "version", "from -2147483648 to 2147483647"),
        ({"version": "12a"}, "version", "whole number"),
        ({"version": True}, "version", "whole number"),
        ({"retry_policy": {"multiplier": "much"}}, "retry_policy.multiplier", "must be a number"),
        ({"retry_policy": []}, "retry_policy", "must be an object, not a list"),
        ({"webhook": {"success_codes": 200}}, "webhook.success_codes", "must be a list, not a number"),
        ({"webhook": {"success_codes": [200, None]}}, "webhook.success_codes[1]", "not null"),
        ({"webhook": {"headers": []}}, "webhook.headers", "must be an object"),
        ({"webhook": {"headers": {"A": 1}}}, "webhook.headers.A", "must be a string"),
        ({"webhook": {"auth": {"basic": {}, "bearer": {}}}}, "webhook.auth.bearer", "excludes `basic`"),
        ({"timeout": "5m"}, "timeout", 'write "5m" as "300s"'),
        ({"timeout": 5}, "timeout", 'for example "300s"'),
        ({"timeout": "soon"}, "timeout", "is not a span"),
        ({"timeout": "999999999999s"}, "timeout", "too long"),
        ({"created_at": "yesterday"}, "created_at", "2026-01-31T09:00:00Z"),
        ({"created_at": "2026-02-30T00:00:00Z"}, "created_at", "is not a moment"),
        ({"created_at": "2026-01-31T09:00:00"}, "created_at", "is not a moment"),
    ],
    ids=lambda value: str(value)[:50],
)
def test_a_value_of_the_wrong_kind_is_told_what_the_field_takes(change: Any, field: str, said: str) -> None:
    assert said in violations({**JOB, **change})[field]


@pytest.mark.parametrize(
    "change",
    [
        {"version": "12"},
        {"version": 12.0},
        {"description": None},
        {"timeout": "0.5s"},
        {"created_at": "2026-01-31T09:00:00.123456789+01:00"},
        {"retry_policy": {"multiplier": "1.5"}},
    ],
    ids=str,
)
def test_what_protobuf_takes_is_taken(change: dict[str, Any]) -> None:
    check({**JOB, **change})
    json_format.ParseDict({**JOB, **change}, Job())


def test_a_field_given_twice_is_refused() -> None:
    assert violations('{"name": "a", "name": "b"}') == {"name": "is given twice; keep one"}


def test_a_field_given_in_both_spellings_is_refused() -> None:
    assert "same field as `retryPolicy`" in violations('{"retryPolicy": {}, "retry_policy": {}}')["retry_policy"]


def test_a_key_of_a_map_given_twice_is_refused() -> None:
    assert "given twice" in violations('{"tags": {"a": "1", "a": "2"}}')["tags.a"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ('{"name": }', "line 1, column 10"),
        ('{\n  "name": "a",\n}', "line 3, column 1"),
        ("{} {}", "line 1, column 4"),
        ('{"version": NaN}', "NaN is not JSON"),
        (b'{"name": "\xff"}', "not UTF-8"),
        ("\ufeff{}", "byte order mark"),
        ("[" * 50_000, "nested deeper"),
        ('{"a":' * 150 + "1" + "}" * 150, "nested deeper"),
        ('{"version": ' + "9" * 5000 + "}", "too long"),
        ("[1]", "must be an object, not a list"),
        ("null", "must be an object, not null"),
        ('"text"', "must be an object, not a string"),
    ],
    ids=lambda value: str(value)[:24],
)
def test_what_is_not_a_json_object_is_refused_with_the_place(body: object, said: str) -> None:
    assert said in message(body)


@pytest.mark.parametrize("body", [r'{"name": "\ud800"}', r'{"\ud800": 1}', r'{"tags": {"a": "x\uDC00"}}'])
def test_half_a_surrogate_pair_is_refused(body: str) -> None:
    assert "surrogate" in message(body)


def test_a_whole_surrogate_pair_is_a_character() -> None:
    check(r'{"name": "\ud83d\ude00"}')


def test_an_empty_body_may_go_on() -> None:
    check(b"", path="/api/v1/jobs/a/trigger")


def test_a_body_where_none_belongs_is_refused() -> None:
    assert "DELETE takes no body here" in message("{}", verb="DELETE", path="/api/v1/jobs/a")


def test_a_body_that_is_the_whole_request_has_the_fields_of_the_request() -> None:
    check({"request_id": "r"}, path="/api/v1/namespaces/n/jobs/a/trigger")
    assert list(violations({"name": "x"}, path="/api/v1/jobs/a/trigger")) == ["name"]


@pytest.mark.parametrize("path", ["/api/v1/nothing", "/api/v1/jobs/", "/api/v1/jobs/a/b/c"])
def test_a_path_outside_the_contract_is_not_found(path: str) -> None:
    with pytest.raises(NotFound):
        check("{}", path=path)


@pytest.mark.parametrize(
    ("content_type", "encoding"),
    [("", ""), ("text/plain", ""), ("application/json; charset=latin-1", ""), ("application/json", "gzip")],
)
def test_a_body_that_is_not_marked_as_plain_json_is_refused(content_type: str, encoding: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        check("{}", headers=BodyHeaders(content_type=content_type, content_encoding=encoding))
    assert caught.value.reason == WRONG_MEDIA_TYPE


@pytest.mark.parametrize("content_type", ["application/json", "Application/JSON", 'application/json; charset="UTF-8"'])
def test_json_may_say_that_it_is_utf_8(content_type: str) -> None:
    check(JOB, headers=BodyHeaders(content_type=content_type, content_encoding="identity"))


def shape_of(kind: Kind, **more: Any) -> Shape:
    field = FieldShape(name="value", json_name="value", value=Shape(kind=kind, **more))
    return Shape(kind=Kind.MESSAGE, message=MessageShape(name="m", fields={"value": field}))


STATUS: Mapping[str, int] = {"STATUS_UNSPECIFIED": 0, "PENDING": 1, "FAILED": 2}


@pytest.mark.parametrize(
    ("kind", "value", "said"),
    [
        (Kind.ENUM, "FALIED", "did you mean FAILED?"),
        (Kind.ENUM, "whatever", "use one of PENDING, FAILED"),
        (Kind.ENUM, 7, "use one of PENDING, FAILED"),
        (Kind.ENUM, True, "must be one of PENDING, FAILED"),
        (Kind.UINT32, -1, "from 0 to"),
        (Kind.INT64, 2**63, "must be from"),
        (Kind.UINT64, "18446744073709551616", "must be from"),
        (Kind.FLOAT, 1e39, "too large"),
        (Kind.BYTES, "###", "not base64"),
        (Kind.FIELD_MASK, "a,", "names of fields"),
        (Kind.ANY_OBJECT, [], "must be an object"),
        (Kind.ANY_LIST, {}, "must be a list"),
    ],
    ids=str,
)
def test_kinds_that_no_body_has_yet_are_checked_too(kind: Kind, value: object, said: str) -> None:
    shape = shape_of(kind, enum=STATUS if kind is Kind.ENUM else {})
    (found,) = misfits(shape, parse(json.dumps({"value": value}).encode()))
    assert said in found.description


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Kind.ENUM, "failed"),
        (Kind.ENUM, 2),
        (Kind.INT64, "-9223372036854775808"),
        (Kind.DOUBLE, "NaN"),
        (Kind.DOUBLE, 1e308),
        (Kind.BYTES, "-_8="),
        (Kind.FIELD_MASK, "schedule,webhook.url"),
        (Kind.FIELD_MASK, ""),
        (Kind.ANY_VALUE, [{"a": [1]}]),
        (Kind.ANY_OBJECT, {"a": {"b": 1}}),
    ],
    ids=str,
)
def test_kinds_that_no_body_has_yet_take_what_protobuf_takes(kind: Kind, value: object) -> None:
    shape = shape_of(kind, enum=STATUS if kind is Kind.ENUM else {})
    assert misfits(shape, parse(json.dumps({"value": value}).encode())) == []


NAMES = st.sampled_from(list(Job.DESCRIPTOR.fields_by_name)) | st.text()
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(NAMES, inner))


@given(VALUES)
def test_what_the_check_lets_through_protobuf_can_read(value: object) -> None:
    body = json.dumps(value, allow_nan=True)
    with suppress(InvalidArgument):
        check(body)
        json_format.Parse(body, Job())


def test_templates_with_a_literal_at_a_place_are_tried_before_those_with_a_variable() -> None:
    bodies: Bodies = BODIES
    paths = [rule.path.pattern for rule in bodies.rules]
    assert paths.index("/api/v1/executions/watch") < paths.index("/api/v1/executions/[^/]+")
    assert all(re.compile(path) for path in paths)
