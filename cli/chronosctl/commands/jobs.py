"""`chronosctl job`: look up, change and run jobs."""

import uuid
from datetime import timedelta
from typing import Annotated, Any

import typer
from chronos.scheduler.v1.job_pb2 import Job

from cli.chronosctl.errors import CommandError, UsageError
from cli.chronosctl.job_facts import show_job
from cli.chronosctl.options import pairs
from cli.chronosctl.session import Session
from cli.chronosctl.tables import JOB_COLUMNS, job_row, show_execution, why
from cli.chronosctl.values import enum_value
from libs.durations import parse_duration

JobId = Annotated[str, typer.Argument(metavar="JOB", help="Id of the job.")]
FINAL = ("SUCCESS", "FAILED", "SKIPPED", "TIMED_OUT", "CANCELLED", "LOST")
Concurrency = Annotated[
    str,
    typer.Option(
        "--concurrency", metavar="RULE", help="While another run is under way: forbid, allow, replace or queue."
    ),
]
POLL_INTERVAL = timedelta(milliseconds=300)


def list_jobs(
    session: Session,
    enabled: Annotated[
        bool | None, typer.Option("--enabled/--disabled", help="Only those that fire, or do not.")
    ] = None,
    tag: Annotated[list[str] | None, typer.Option("--tag", metavar="KEY=VALUE", help="Only those so tagged.")] = None,
    limit: Annotated[int | None, typer.Option("--limit", "-n", min=1, help="At most so many. Default: all.")] = None,
) -> None:
    """Lists jobs, ordered by id."""
    terms = [] if enabled is None else [f"enabled = {str(enabled).lower()}"]
    terms += [f'tags.{key} = "{_quoted(value)}"' for key, value in pairs(tag or [], "--tag").items()]
    query = {"filter": " AND ".join(terms)} if terms else {}
    found = session.client.pages(session.client.path("jobs"), "jobs", query, limit)
    if session.output.is_table:
        session.output.table(JOB_COLUMNS, [job_row(job) for job in found])
    else:
        session.output.value({"jobs": list(found)})


def get_job(session: Session, job: JobId) -> None:
    """Shows a job. Its YAML (-o yaml) can be edited and given back to `job replace`; secrets stay masked."""
    show(session, session.client.call("GET", session.client.path("jobs", job)))


def delete_job(
    session: Session,
    job: JobId,
    etag: Annotated[str, typer.Option("--etag", help="Only when this is still its etag.")] = "",
) -> None:
    """Deletes a job. What it ran stays in history until it ages out."""
    query = {"etag": etag} if etag else {}
    answer = session.client.call("DELETE", session.client.path("jobs", job), query=query)
    if session.output.is_table:
        session.output.text(f"Deleted {job}.")
    else:
        session.output.value(answer)


def enable_job(
    session: Session,
    job: JobId,
    catch_up: Annotated[
        bool, typer.Option("--catch-up", help="Make up for what it missed, as its missed-run policy says.")
    ] = False,
) -> None:
    """Lets a job fire from now on."""
    body = {"catch_up": True} if catch_up else {}
    show(session, session.client.call("POST", session.client.path("jobs", job, "enable"), body=body))


def disable_job(session: Session, job: JobId) -> None:
    """Keeps a job from firing."""
    show(session, session.client.call("POST", session.client.path("jobs", job, "disable"), body={}))


def trigger_job(
    session: Session,
    job: JobId,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for its end; exit 1 unless it succeeds.")] = False,
    longest: Annotated[str, typer.Option("--wait-timeout", metavar="DURATION", help="Longest wait.")] = "5m",
    request_id: Annotated[str, typer.Option("--request-id", help="Repeating it within 24 h runs nothing new.")] = "",
    concurrency: Concurrency = "",
) -> None:
    """Runs a job now, also a disabled one."""
    patience = _span(longest)
    body = {"request_id": request_id or str(uuid.uuid4()), **concurrency_field(concurrency)}
    execution = session.client.call("POST", session.client.path("jobs", job, "trigger"), body=body)
    if wait:
        execution = finished(session, execution, patience)
    if session.output.is_table:
        show_execution(session.output, execution)
    else:
        session.output.value(execution)
    if wait and execution.get("status") != "SUCCESS":
        raise CommandError(f"the execution ended as {execution.get('status')}: {why(execution)}")


def finished(session: Session, execution: dict[str, Any], patience: timedelta) -> dict[str, Any]:
    """The execution once it has ended. Raises CommandError when that takes longer than `patience`."""
    path = session.client.path("executions", execution["id"])
    waited = timedelta()
    while execution.get("status") not in FINAL:
        if waited >= patience:
            raise CommandError(f"execution {execution['id']} is still {execution.get('status')} after {patience}")
        session.client.pause(POLL_INTERVAL)
        waited += POLL_INTERVAL
        execution = session.client.call("GET", path)
    return execution


def show(session: Session, job: dict[str, Any]) -> None:
    """Prints one job."""
    if session.output.is_table:
        show_job(session.output, job)
    else:
        session.output.value(job)


def concurrency_field(text: str) -> dict[str, str]:
    """The field `concurrency` of a request, when it was given. Raises UsageError."""
    return {"concurrency": enum_value(text, Job.Concurrency.DESCRIPTOR, "--concurrency")} if text else {}


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')


def _span(text: str) -> timedelta:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise UsageError(f"--wait-timeout: {error}") from error
