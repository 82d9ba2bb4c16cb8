"""How errors look, and which ones a call may answer with."""

from typing import Any

from libs.contract import HttpRule, RateClass, Rpc

REQUEST_ID = {"X-Request-Id": {"description": "Give it to the operator when you ask.", "schema": {"type": "string"}}}
RETRY_AFTER = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 1}}}

ERROR_SCHEMAS: dict[str, Any] = {
    "Error": {
        "type": "object",
        "description": "A `google.rpc.Status`: the body of every answer that is not 2xx.",
        "required": ["code", "message", "details"],
        "properties": {
            "code": {"type": "integer", "format": "int32", "description": "gRPC status code; 3 is INVALID_ARGUMENT."},
            "message": {"type": "string", "description": "What is wrong and how to fix it, in a sentence."},
            "details": {
                "type": "array",
                "description": "For programs: `ErrorInfo` (reason), `BadRequest` (fields), `RetryInfo` and the like.",
                "items": {"$ref": "#/components/schemas/ErrorDetail"},
            },
        },
    },
    "ErrorDetail": {
        "type": "object",
        "description": "One detail; `@type` says which message of google.rpc it is.",
        "required": ["@type"],
        "properties": {"@type": {"type": "string"}},
        "additionalProperties": True,
    },
}


def _response(description: str, code: int, message: str, details: list[Any], **headers: Any) -> dict[str, Any]:
    example = {"code": code, "message": message, "details": details}
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}, "example": example}}
    return {"description": description, "headers": {**REQUEST_ID, **headers}, "content": content}


def _reason(reason: str) -> list[Any]:
    return [
        {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "chronos", "metadata": {}}
    ]


def _violation(field: str, description: str) -> list[Any]:
    violations = [{"field": field, "description": description}]
    return [{"@type": "type.googleapis.com/google.rpc.BadRequest", "field_violations": violations}]


TYPO = "unknown field `timezon`; did you mean `timezone`?"
ERROR_RESPONSES: dict[str, Any] = {
    "InvalidArgument": _response(
        "A field is wrong, or something is not possible in the present state.", 3, f"timezon: {TYPO}",
        [*_reason("INVALID_ARGUMENT"), *_violation("timezon", TYPO)],
    ),
    "Unauthenticated": _response("No key, or one that is not valid.", 16, "an API key is missing",
                                 _reason("API_KEY_MISSING")),
    "PermissionDenied": _response("The key lacks the permission or the namespace.", 7,
                                  "the API key lacks the permission job:create", _reason("PERMISSION_MISSING")),
    "NotFound": _response("There is no such thing.", 5, 'there is no job "nightly"', _reason("NOT_FOUND")),
    "Conflict": _response("The id is taken, or somebody else changed the resource in between (etag).", 10,
                          "the job was changed in between; read it again", _reason("STALE_ETAG")),
    "TooLarge": _response("The request is larger than 1 MiB.", 8, "the request is larger than the edge takes", []),
    "UnsupportedMediaType": _response("The body is not marked as JSON.", 3,
                                      "the Content-Type header says nothing; send application/json",
                                      _reason("WRONG_MEDIA_TYPE")),
    "TooManyRequests": _response("Too fast, or a quota is used up.", 8,
                                 "too many requests; wait as long as the Retry-After header says", [], **RETRY_AFTER),
    "Unavailable": _response("Something that is needed does not answer now. Worth repeating.", 14,
                             "the service that answers this cannot be reached now; try again", []),
    "Error": _response("Any other error.", 13, "something broke; tell the operator", _reason("INTERNAL")),
}  # fmt: skip


def refusals(rpc: Rpc, rule: HttpRule) -> dict[str, Any]:
    """The errors that a call may answer with, by status."""
    takes_resource = any(variable != "namespace" for variable in rule.variables)
    possible = {
        "400": "InvalidArgument",
        "401": "" if rpc.is_public else "Unauthenticated",
        "403": "" if rpc.is_public else "PermissionDenied",
        "404": "NotFound" if takes_resource else "",
        "409": "Conflict" if rpc.rate_class is RateClass.WRITE else "",
        "413": "TooLarge" if rule.body else "",
        "415": "UnsupportedMediaType" if rule.body else "",
        "429": "TooManyRequests",
        "503": "Unavailable",
        "default": "Error",
    }
    return {status: {"$ref": f"#/components/responses/{name}"} for status, name in possible.items() if name}
