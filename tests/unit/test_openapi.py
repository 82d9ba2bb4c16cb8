"""The OpenAPI document: complete, sound in itself, and true to what the edge does."""

import importlib
import json
import re
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from libs.contract import read_contract
from services.gateway.adapters.body_rules import read_bodies
from services.gateway.domain.bodies import BodyHeaders
from tests.architecture.tree import ROOT

DESCRIPTORS = (ROOT / "gen" / "chronos.binpb").read_bytes()
CONTRACT = read_contract(DESCRIPTORS)
DOCUMENT: dict[str, Any] = json.loads((ROOT / "gen" / "openapi.json").read_text())
VERBS = {"get", "put", "post", "delete", "patch"}


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, verbs in DOCUMENT["paths"].items():
        for verb, operation in verbs.items():
            yield path, verb, operation


def nodes(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from nodes(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from nodes(inner)


def resolve(reference: str) -> Any:
    found: Any = DOCUMENT
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    return found


def test_the_document_is_what_the_descriptors_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "proto"))
    made = importlib.import_module("openapi").openapi_json(DESCRIPTORS)
    for name in [name for name in sys.modules if name.partition("_")[0] == "openapi"]:
        monkeypatch.delitem(sys.modules, name)
    assert json.loads(made) == DOCUMENT
    assert made == (ROOT / "gen" / "openapi.json").read_text()


def test_every_rest_call_of_the_contract_is_there() -> None:
    wanted = {(rule.template, rule.verb.lower()) for rule, _ in CONTRACT.rest_calls}
    gateway = {("/health", "get"), ("/metrics", "get"), ("/openapi.json", "get")}
    assert {(path, verb) for path, verb, _ in operations()} == wanted | gateway


def test_nothing_internal_is_there() -> None:
    text = json.dumps(DOCUMENT)
    assert "LedgerService" not in text
    assert "DeliveryService" not in text
    assert "secret_hash" not in text


def test_every_reference_resolves() -> None:
    references = {node["$ref"] for node in nodes(DOCUMENT) if "$ref" in node}
    assert all(resolve(reference) for reference in references)


def test_every_schema_is_used() -> None:
    used = {node["$ref"].rpartition("/")[2] for node in nodes(DOCUMENT) if "$ref" in node}
    assert set(DOCUMENT["components"]["schemas"]) - used == set()


def test_component_names_are_allowed_ones() -> None:
    names = [name for section in DOCUMENT["components"].values() for name in section]
    assert [name for name in names if not re.fullmatch(r"[A-Za-z0-9._-]+", name)] == []


def test_operation_ids_are_unique() -> None:
    ids = [operation["operationId"] for _, _, operation in operations()]
    assert sorted(ids) == sorted(set(ids))


@pytest.mark.parametrize(("path", "verb", "operation"), list(operations()), ids=lambda value: str(value)[:60])
def test_an_operation_is_whole(path: str, verb: str, operation: dict[str, Any]) -> None:
    assert verb in VERBS
    assert operation["summary"]
    assert operation["responses"]["200"]["content"]
    parameters = operation.get("parameters", [])
    assert {one["name"] for one in parameters if one["in"] == "path"} == set(re.findall(r"\{(\w+)\}", path))
    assert all(one["required"] for one in parameters if one["in"] == "path")
    assert all(one["description"] and one["schema"] for one in parameters)
    assert len({one["name"] for one in parameters}) == len(parameters)
    assert set(operation["tags"]) <= {tag["name"] for tag in DOCUMENT["tags"]}


@pytest.mark.parametrize(("path", "verb", "operation"), list(operations()), ids=lambda value: str(value)[:60])
def test_a_call_that_needs_a_permission_says_so(path: str, verb: str, operation: dict[str, Any]) -> None:
    if path.startswith("/api/"):
        assert operation["x-permission"]
        assert operation["security"] == [{"api_key": []}, {"bearer": []}]
        assert {"400", "401", "403", "429", "503", "default"} <= set(operation["responses"])


def test_rules_are_keywords() -> None:
    job = DOCUMENT["components"]["schemas"]["Job"]
    assert job["required"] == ["name"]
    assert job["properties"]["name"]["maxLength"] == 200
    assert job["properties"]["uid"]["readOnly"]
    assert job["properties"]["tags"]["maxProperties"] == 64
    target = DOCUMENT["components"]["schemas"]["WebhookTarget"]
    assert target["properties"]["success_codes"]["items"] == {
        "type": "integer", "format": "int32", "minimum": 100, "maximum": 599,
    }  # fmt: skip
    assert "DELETE" in target["properties"]["method"]["enum"]


def test_a_patch_requires_no_field() -> None:
    patch = DOCUMENT["components"]["schemas"]["JobPatch"]
    assert not {"required", "oneOf"} & set(patch)
    assert "required" not in resolve(patch["properties"]["webhook"]["$ref"])


def test_the_query_has_what_neither_path_nor_body_has() -> None:
    create = DOCUMENT["paths"]["/api/v1/namespaces/{namespace}/jobs"]["post"]
    assert [one["name"] for one in create["parameters"] if one["in"] == "query"] == ["request_id", "validate_only"]
    trigger = DOCUMENT["paths"]["/api/v1/jobs/{id}/trigger"]["post"]
    assert [one["name"] for one in trigger["parameters"]] == ["id"]
    assert set(trigger["requestBody"]["content"]["application/json"]["schema"]["properties"]) == {
        "concurrency", "namespace", "request_id",
    }  # fmt: skip


def test_a_stream_says_that_it_is_one() -> None:
    answer = DOCUMENT["paths"]["/api/v1/executions/watch"]["get"]["responses"]["200"]
    assert answer["x-stream"] == "application/x-ndjson"


@pytest.mark.parametrize(
    ("path", "verb", "example"),
    [
        (path, verb, media["example"])
        for path, verb, operation in operations()
        for media in operation.get("requestBody", {}).get("content", {}).values()
        if "example" in media
    ],
    ids=lambda value: str(value)[:60],
)
def test_an_example_passes_the_strict_check(path: str, verb: str, example: Any) -> None:
    headers = BodyHeaders(content_type="application/json", content_encoding="")
    read_bodies(CONTRACT).check(verb.upper(), re.sub(r"\{\w+\}", "x", path), headers, json.dumps(example).encode())
