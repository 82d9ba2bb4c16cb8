"""`chronosctl target test`: one real delivery, made now."""

from typing import Annotated, Any

import typer

from cli.chronosctl.documents import read_one
from cli.chronosctl.errors import UsageError
from cli.chronosctl.moments import shown_seconds
from cli.chronosctl.session import Session

Json = dict[str, Any]
TARGETS = ("webhook", "grpc", "kafka", "nats", "rabbitmq", "websocket")
BESIDES = ("signing", "cloud_event", "timeout")


def try_target(
    session: Session,
    file: Annotated[str, typer.Option("--file", "-f", metavar="FILE", help="YAML or JSON file with one job.")],
) -> None:
    """Delivers once to the target of the job in a file, and shows what came back. Exits 1 when it failed.

    The job need not exist, and nothing is recorded.
    """
    job = read_one(file)
    trial = {name: job[name] for name in (*TARGETS, *BESIDES) if name in job}
    if not any(name in trial for name in TARGETS):
        raise UsageError(f"{file}: the job has no target; give it one of {', '.join(TARGETS)}")
    answer = session.client.call("POST", session.client.path("targets", "test"), body=trial)
    if session.output.is_table:
        session.output.facts(_facts(answer))
    else:
        session.output.value(answer)
    if not answer.get("success"):
        raise typer.Exit(1)


def _facts(answer: Json) -> list[tuple[str, Any]]:
    request = answer.get("request") or {}
    is_cut = " …" if answer.get("is_response_truncated") else ""
    outcome = "SUCCESS" if answer.get("success") else "FAILED"
    return [
        ("outcome", outcome + (", a job would try again" if answer.get("is_retryable") else "")),
        ("error", answer.get("error", "")),
        ("status code", answer.get("status_code") or ""),
        ("took", shown_seconds(answer.get("duration") or "0s")),
        ("request", f"{request.get('method', '')} {request.get('url', '')}".strip()),
        ("headers", "\n".join(f"{name}: {value}" for name, value in (request.get("headers") or {}).items())),
        ("body", request.get("body", "")),
        ("response", answer.get("response_body", "") + is_cut),
        ("execution id", answer.get("execution_id", "")),
    ]
