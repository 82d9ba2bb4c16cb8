"""`chronosctl job versions`, `version`, `diff` and `rollback`: what jobs were before."""

from typing import Annotated, Any

import typer

from cli.chronosctl.commands.changes import Comment, Etag
from cli.chronosctl.commands.jobs import JobId
from cli.chronosctl.job_facts import show_job
from cli.chronosctl.moments import shown_time
from cli.chronosctl.session import Session

Json = dict[str, Any]
Number = Annotated[int, typer.Argument(metavar="VERSION", min=1, help="Number of the version.")]
COLUMNS = ("VERSION", "WHEN", "WHO", "CHANGE", "COMMENT")
SIGNS = {"ADDED": "+", "REMOVED": "-", "MODIFIED": "~"}


def list_versions(
    session: Session,
    job: JobId,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many.")] = 20,
) -> None:
    """Lists the versions of a job, the newest first: the first one and the last 50 are kept."""
    found = session.client.pages(session.client.path("jobs", job, "versions"), "versions", {}, limit)
    if session.output.is_table:
        session.output.table(COLUMNS, [_row(version) for version in found])
    else:
        session.output.value({"versions": list(found)})


def get_version(session: Session, job: JobId, number: Number) -> None:
    """Shows a job as it was at a version."""
    version = session.client.call("GET", session.client.path("jobs", job, "versions", str(number)))
    if not session.output.is_table:
        session.output.value(version)
        return
    session.output.table(COLUMNS, [_row(version)])
    session.output.text("")
    show_job(session.output, {"id": job, **(version.get("job") or {})})


def diff_versions(
    session: Session,
    job: JobId,
    number: Number,
    against: Annotated[
        int | None,
        typer.Option("--against", metavar="VERSION", min=1, help="Older version; the one before unless given."),
    ] = None,
) -> None:
    """Shows what differs between two versions: + only in the new one, - only in the old one, ~ in both."""
    query = {"against": against} if against else {}
    path = session.client.path("jobs", job, "versions", str(number), "diff")
    answer = session.client.call("GET", path, query=query)
    if not session.output.is_table:
        session.output.value(answer)
        return
    rows = [_difference(found) for found in answer.get("differences") or ()]
    old, new = answer.get("old_version", ""), answer.get("new_version", "")
    session.output.table(("", "FIELD", f"VERSION {old}", f"VERSION {new}"), rows)


def rollback_job(session: Session, job: JobId, number: Number, comment: Comment = "", etag: Etag = "") -> None:
    """Makes a job what it was at a version. That is a new version; nothing is forgotten."""
    body = {name: value for name, value in {"comment": comment, "etag": etag}.items() if value}
    answer = session.client.call("POST", session.client.path("jobs", job, "rollback", str(number)), body=body)
    if session.output.is_table:
        before, after = answer.get("rolled_back_from", ""), answer.get("new_version", "")
        session.output.text(f"{job} is as it was at version {number}: version {after}, after {before}.")
    else:
        session.output.value(answer)


def _row(version: Json) -> tuple[Any, ...]:
    change = version.get("change", "")
    back_to = version.get("rolled_back_to")
    return (
        version.get("version", ""),
        shown_time(version.get("created_at") or ""),
        version.get("created_by", ""),
        f"{change} to {back_to}" if back_to else change,
        version.get("comment", ""),
    )


def _difference(found: Json) -> tuple[str, str, str, str]:
    sign = SIGNS.get(found.get("kind", ""), "")
    return (sign, found.get("path", ""), found.get("old_value", ""), found.get("new_value", ""))
