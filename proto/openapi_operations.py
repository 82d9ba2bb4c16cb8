"""One operation for each REST spelling of an RPC."""

from collections.abc import Iterator
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from openapi_errors import refusals
from openapi_examples import REQUESTS, RESPONSES
from openapi_schemas import WELL_KNOWN, Schemas

from libs.contract import HttpRule, Rpc

SECURITY = [{"api_key": []}, {"bearer": []}]
STREAM_NOTE = "\n\nThe answer is a stream: one JSON object a line (NDJSON), until the caller hangs up."


class Operations:
    """Describes RPCs as OpenAPI operations."""

    def __init__(self, schemas: Schemas, comments: dict[str, str]) -> None:
        self._schemas = schemas
        self._comments = comments

    def of(self, rpc: Rpc, rule: HttpRule, *, is_first: bool) -> dict[str, Any]:
        """The operation of one spelling; the first one has the RPC's own name as its id."""
        name = str(rpc.descriptor.name)
        comment = self._comments.get(str(rpc.descriptor.full_name), "")
        operation: dict[str, Any] = {
            "operationId": name if is_first else "_".join((name, *(rule.variables or _words(rule)))),
            "tags": [str(rpc.descriptor.containing_service.name)],
            "summary": comment.partition(". ")[0].removesuffix("."),
            "description": comment + (STREAM_NOTE if rpc.descriptor.server_streaming else ""),
            "security": [] if rpc.is_public else SECURITY,
            "x-grpc-method": rpc.path.removeprefix("/"),
            "x-permission": rpc.permission,
            "x-rate-class": rpc.rate_class.value,
        }
        if parameters := list(self._parameters(rpc.descriptor.input_type, rule)):
            operation["parameters"] = parameters
        if rule.body:
            operation["requestBody"] = self._body(rpc, rule)
        operation["responses"] = {"200": self._answer(rpc)} | refusals(rpc, rule)
        return operation

    def _parameters(self, request: Descriptor, rule: HttpRule) -> Iterator[dict[str, Any]]:
        for variable in rule.variables:
            field = request.fields_by_name[variable]
            yield {"name": variable, "in": "path", "required": True} | self._parameter(field)
        for field in request.fields:
            in_query = rule.body not in ("*", field.name) and field.name not in rule.variables
            if in_query and (field.message_type is None or field.message_type.full_name in WELL_KNOWN):
                yield {"name": field.name, "in": "query"} | self._parameter(field)

    def _parameter(self, field: FieldDescriptor) -> dict[str, Any]:
        schema = self._schemas.field(field)
        described = {"description": schema.pop("description", ""), "schema": schema}
        return described | ({"style": "form", "explode": True} if field.is_repeated else {})

    def _body(self, rpc: Rpc, rule: HttpRule) -> dict[str, Any]:
        request = rpc.descriptor.input_type
        is_patch = rule.verb == "PATCH"
        if rule.body == "*":
            content = self._rest_of(request, rule)
        else:
            content = self._schemas.field(request.fields_by_name[rule.body], is_patch=is_patch)
            content.pop("description", None)
        media: dict[str, Any] = {"schema": content}
        if example := REQUESTS.get(rpc.path):
            media["example"] = example
        return {"required": rule.body != "*", "content": {"application/json": media}}

    def _rest_of(self, request: Descriptor, rule: HttpRule) -> dict[str, Any]:
        """The request without what its path says."""
        fields = [field for field in request.fields if field.name not in rule.variables]
        return {"type": "object", "properties": {field.name: self._schemas.field(field) for field in fields}}

    def _answer(self, rpc: Rpc) -> dict[str, Any]:
        output = rpc.descriptor.output_type
        media: dict[str, Any] = {"schema": self._schemas.reference(output)}
        if example := RESPONSES.get(rpc.path):
            media["example"] = example
        comment = self._comments.get(str(output.full_name), "") or "Done."
        answer: dict[str, Any] = {"description": comment, "content": {"application/json": media}}
        if rpc.descriptor.server_streaming:
            answer |= {"description": f"One such object a line. {comment}", "x-stream": "application/x-ndjson"}
        return answer


def _words(rule: HttpRule) -> list[str]:
    """What tells the path of an alias without variables from the first one."""
    return [word for word in rule.template.split("/")[3:] if word.isalpha()]
