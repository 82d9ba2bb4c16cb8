"""The OpenAPI document of the REST API, made from the descriptors: nothing in it is written twice."""

import json
from typing import Any

from openapi_comments import read_comments
from openapi_errors import ERROR_RESPONSES, ERROR_SCHEMAS
from openapi_gateway import GATEWAY_PATHS
from openapi_operations import Operations
from openapi_schemas import Schemas

from libs.contract import Contract, read_contract

DESCRIPTION = """\
Jobs that fire on time, and the record of every run.

Bodies are JSON with snake_case names; an unknown field is refused. Enum values are taken in any case. 64-bit numbers
are strings. Every path also exists under `/api/v1/namespaces/{namespace}`; without that, the namespace is `default`.
The same calls are there as gRPC and gRPC-Web on the same port."""


def openapi_json(descriptor_set: bytes) -> str:
    """The document as JSON text that ends with a line break; the same input gives the same text.

    Takes a serialized FileDescriptorSet with its imports and source info.
    """
    contract = read_contract(descriptor_set)
    return json.dumps(document(contract, descriptor_set), indent=2, ensure_ascii=False) + "\n"


def document(contract: Contract, descriptor_set: bytes) -> dict[str, Any]:
    """The document as plain values."""
    comments = read_comments(descriptor_set)
    schemas = Schemas(contract.pool, comments)
    operations = Operations(schemas, comments)
    paths: dict[str, dict[str, Any]] = {}
    for rpc in contract.public_rpcs:
        for index, rule in enumerate(rpc.rules):
            paths.setdefault(rule.template, {})[rule.verb.lower()] = operations.of(rpc, rule, is_first=index == 0)
    services = {rpc.service for rpc in contract.public_rpcs}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Chronos",
            "version": "v1",
            "description": DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/", "description": "The edge that serves this document."}],
        "tags": [
            *({"name": name.rpartition(".")[2], "description": comments[name]} for name in sorted(services)),
            {"name": "Operations", "description": "For those who run Chronos. No key needed."},
        ],
        "paths": {path: paths[path] for path in sorted(paths)} | GATEWAY_PATHS,
        "components": {
            "schemas": dict(sorted({**schemas.components, **ERROR_SCHEMAS}.items())),
            "responses": ERROR_RESPONSES,
            "securitySchemes": {
                "api_key": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "An API key."},
                "bearer": {"type": "http", "scheme": "bearer", "description": "The same API key as a bearer token."},
            },
        },
    }
