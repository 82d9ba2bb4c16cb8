"""The few paths that are not RPCs: the gateway answers them itself."""

from typing import Any

HEALTH = {
    "type": "object",
    "required": ["status", "problems"],
    "properties": {
        "status": {"type": "string", "enum": ["healthy", "unhealthy"]},
        "problems": {"type": "array", "items": {"type": "string"}, "description": "What is wrong, a sentence each."},
    },
}


def _get(name: str, summary: str, responses: dict[str, Any]) -> dict[str, Any]:
    errors = {"429": {"$ref": "#/components/responses/TooManyRequests"}}
    return {"get": {"operationId": name, "tags": ["Operations"], "summary": summary, "security": [],
                    "responses": responses | errors}}  # fmt: skip


def _answer(description: str, media_type: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {media_type: {"schema": schema}}}


GATEWAY_PATHS: dict[str, Any] = {
    "/health": _get(
        "GetHealth",
        "Tells whether the cluster as a whole is well",
        {
            "200": _answer("All is well.", "application/json", HEALTH),
            "503": _answer("Something is wrong.", "application/json", HEALTH),
        },
    ),
    "/metrics": _get(
        "GetMetrics",
        "Gives the metrics of every replica, in Prometheus's text format",
        {"200": _answer("The metrics.", "text/plain", {"type": "string"})},
    ),
    "/openapi.json": _get(
        "GetOpenapi", "Gives this document", {"200": _answer("The document.", "application/json", {"type": "object"})}
    ),
}
