"""`chronosctl execution`: what ran, when, and what came of it."""

from collections.abc import Iterator
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any

import typer

from cli.chronosctl.client import ApiClient
from cli.chronosctl.errors import CommandError, RefusedError, UnreachableError, UsageError
from cli.chronosctl.moments import moment_json
from cli.chronosctl.output import Output
from cli.chronosctl.session import Session
from cli.chronosctl.tables import EVENT_WIDTHS, EXECUTION_COLUMNS, execution_row, show_execution

OptionalJob = Annotated[str | None, typer.Argument(metavar="[JOB]", help="Only this job's.")]
ExecutionNames = Annotated[list[str], typer.Argument(metavar="[JOB] EXECUTION", help="Id of the execution.")]
FIRST_PAUSE = timedelta(milliseconds=500)
LONGEST_PAUSE = timedelta(seconds=5)
TEMPORARY = (429, 502, 503, 504)


class Status(StrEnum):
    """The statuses that an execution can have."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    SUCCESS = "SUCCESS"
    FAILED = "FAILED"
    SKIPPED = "SKIPPED"
    TIMED_OUT = "TIMED_OUT"
    CANCELLED = "CANCELLED"
    LOST = "LOST"


def list_executions(
    session: Session,
    job: OptionalJob = None,
    status: Annotated[
        list[Status] | None, typer.Option("--status", case_sensitive=False, help="Only these; may be repeated.")
    ] = None,
    begin: Annotated[str, typer.Option("--from", metavar="TIME", help="Due then or later: 2026-11-01, -2h.")] = "",
    end: Annotated[str, typer.Option("--to", metavar="TIME", help="Due before then.")] = "",
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many.")] = 20,
) -> None:
    """Lists executions, the newest first."""
    query: dict[str, Any] = {"status": [item.value for item in status]} if status else {}
    moments = {"from": begin, "to": end}
    query |= {name: moment_json(text, session.now, f"--{name}") for name, text in moments.items() if text}
    found = session.client.pages(_path(session.client, job), "executions", query, limit)
    if session.output.is_table:
        session.output.table(EXECUTION_COLUMNS, [execution_row(execution) for execution in found])
    else:
        session.output.value({"executions": list(found)})


def get_execution(
    session: Session,
    names: ExecutionNames,
) -> None:
    """Shows an execution with its attempts."""
    execution = session.client.call("GET", execution_path(session.client, names))
    if session.output.is_table:
        show_execution(session.output, execution)
    else:
        session.output.value(execution)


def watch_executions(
    session: Session,
    job: OptionalJob = None,
    limit: Annotated[int | None, typer.Option("--limit", "-n", min=1, help="Stop after so many changes.")] = None,
) -> None:
    """Shows executions as they change, until Ctrl-C. Goes on by itself, without a gap, when it is cut off."""
    if session.output.is_table:
        session.output.line(EXECUTION_COLUMNS, EVENT_WIDTHS)
    try:
        for count, execution in enumerate(changes(session, f"{_path(session.client, job)}/watch"), start=1):
            _show_change(session.output, execution)
            if count == limit:
                return
    except KeyboardInterrupt:
        return


def changes(session: Session, path: str) -> Iterator[dict[str, Any]]:
    """Executions as they change, endlessly. Raises what the first connection raises, and every lasting refusal."""
    token, is_connected, wait = "", False, FIRST_PAUSE
    while True:
        try:
            with session.client.lines(path, {"resume_token": token} if token else {}) as messages:
                for message in messages:
                    is_connected, wait = True, FIRST_PAUSE
                    token = message.get("resume_token") or token
                    if message.get("execution"):
                        yield message["execution"]
            is_connected = True
        except UnreachableError:
            if not is_connected:
                raise
        except RefusedError as error:
            if not is_connected or error.answer.status not in TEMPORARY:
                raise
        session.output.say("The watch was cut off; it goes on where it was.", "yellow")
        session.client.pause(wait)
        wait = min(wait * 2, LONGEST_PAUSE)


def execution_path(client: ApiClient, names: list[str]) -> str:
    """The path of an execution, given by its id, and before it the id of its job if you like. Raises CommandError."""
    if len(names) > 2:
        raise UsageError("give the id of one execution, and before it the id of its job if you like")
    return f"{_path(client, names[0] if len(names) == 2 else None)}/{_one_part(names[-1])}"


def _show_change(output: Output, execution: dict[str, Any]) -> None:
    if output.is_table:
        output.line(execution_row(execution), EVENT_WIDTHS)
    else:
        output.event(execution)


def _path(client: ApiClient, job: str | None) -> str:
    return client.path("jobs", job, "executions") if job else client.path("executions")


def _one_part(text: str) -> str:
    if not text or not text.replace("-", "").isalnum():
        raise CommandError(f"{text!r} is not the id of an execution; `chronosctl execution list` shows ids")
    return text
