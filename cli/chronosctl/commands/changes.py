"""`chronosctl job create`, `replace` and `update`: jobs from files and options."""

import uuid
from typing import Annotated, Any

import typer

from cli.chronosctl.commands.jobs import JobId, show
from cli.chronosctl.documents import read_all, read_one
from cli.chronosctl.errors import CommandError, RefusedError, UsageError
from cli.chronosctl.fields import find_field, is_computed, mask_paths
from cli.chronosctl.options import Fields, job_options, nested, put
from cli.chronosctl.session import Session
from cli.chronosctl.splicing import splice

Json = dict[str, Any]
File = Annotated[str | None, typer.Option("--file", "-f", metavar="FILE", help="YAML or JSON file; - reads stdin.")]
Check = Annotated[bool, typer.Option("--validate-only", help="Check only; change nothing.")]
Comment = Annotated[str, typer.Option("--comment", metavar="TEXT", help="Why, for the list of versions.")]
Etag = Annotated[str, typer.Option("--etag", help="Only when this is still its etag.")]


@splice(job_options, "fields")
def create_jobs(
    session: Session,
    fields: Fields,
    file: File = None,
    job_id: Annotated[str | None, typer.Option("--id", help="Id; without it, the name makes one.")] = None,
    disabled: Annotated[bool, typer.Option("--disabled", help="Create it without letting it fire.")] = False,
    validate_only: Check = False,
) -> None:
    """Creates the jobs of a file, or one job from options. Goes on after a failure, and then exits 1."""
    fields = {**({"id": job_id} if job_id else {}), **({"enabled": False} if disabled else {}), **fields}
    if file is not None and fields:
        raise UsageError("give either --file or the fields of one job, not both")
    if file is None and not fields:
        raise UsageError("give a job with --file, or at least --name, --schedule and --url")
    _create_all(session, [nested(fields)] if file is None else read_all(file), validate_only)


@splice(job_options, "fields")
def replace_job(
    session: Session,
    fields: Fields,
    job_id: Annotated[str | None, typer.Argument(metavar="[JOB]", help="Id; without it, that in the file.")] = None,
    file: File = None,
    comment: Comment = "",
    validate_only: Check = False,
) -> None:
    """Replaces a job by the one in a file, in options, or both (options win). What is not given takes its default."""
    if file is None and not fields:
        raise UsageError("give the whole job: --file, or at least --name, --schedule and --url")
    job = without_computed(read_one(file)) if file is not None else {}
    for path, value in fields.items():
        put(job, path, value)
    chosen = job_id or job.get("id")
    if not chosen:
        raise UsageError(f"{file or 'the job'} has no `id:`; name the job on the command line")
    query = _query(validate_only, comment)
    show(session, session.client.call("PUT", session.client.path("jobs", str(chosen)), query=query, body=job))


@splice(job_options, "fields")
def update_job(
    session: Session,
    fields: Fields,
    job_id: JobId,
    file: File = None,
    etag: Etag = "",
    comment: Comment = "",
    validate_only: Check = False,
) -> None:
    """Changes some fields of a job: those in a file, in options, or both (options win)."""
    job = without_computed(read_one(file)) if file else {}
    mask = list(mask_paths(job))
    for path, value in fields.items():
        _, rest = find_field(path)
        if rest:
            path, value = _merged_map(session, job_id, job, path, value)
        put(job, path, value)
        mask += [] if path in mask else [path]
    if not mask:
        raise UsageError("give the fields to change: --file, --schedule, --url, --set FIELD=VALUE, …")
    if etag:
        job["etag"] = etag
    query = {"update_mask": ",".join(mask), **_query(validate_only, comment)}
    show(session, session.client.call("PATCH", session.client.path("jobs", job_id), query=query, body=job))


def new_job(job: Json) -> Json:
    """The job as it is created: also the output of `job get` for another job makes a new one."""
    return {name: value for name, value in without_computed(job).items() if name != "etag"}


def without_computed(job: Json) -> Json:
    """The job without what only the server sets, so that the output of `job get` can be given back."""
    return {name: value for name, value in job.items() if not _is_computed_name(name)}


def _query(validate_only: bool, comment: str) -> dict[str, str]:
    return {**({"validate_only": "true"} if validate_only else {}), **({"comment": comment} if comment else {})}


def _merged_map(session: Session, job_id: str, job: Json, path: str, value: str) -> tuple[str, dict[str, Any]]:
    """The whole map that an entry such as `tags.team` belongs to, as stored now, with that entry changed.

    Sends the etag along, so that a change by somebody else in between is refused and not undone.
    """
    _, rest = find_field(path)
    parts = path.split(".")[: -len(rest)]
    stored = session.client.call("GET", session.client.path("jobs", job_id))
    job.setdefault("etag", stored.get("etag", ""))
    known = _found(job, parts) or _found(stored, parts) or {}
    return ".".join(parts), {**known, ".".join(rest): value}


def _found(document: Any, parts: list[str]) -> Any:
    for part in parts:
        document = document.get(part) if isinstance(document, dict) else None
    return document


def _create_all(session: Session, wanted: list[Json], validate_only: bool) -> None:
    created, refused = [], []
    for number, job in enumerate(wanted, start=1):
        label = str(job.get("id") or job.get("name") or f"job {number}")
        query = {"request_id": str(uuid.uuid4()), **_query(validate_only, "")}
        try:
            answer = session.client.call("POST", session.client.path("jobs"), query=query, body=new_job(job))
        except RefusedError as error:
            if len(wanted) == 1:
                raise
            refused.append(label)
            session.output.say(f"{label}: {error}", "red")
            continue
        created.append(answer)
        if session.output.is_table:
            verb = "Would create" if validate_only else "Created"
            session.output.text(f"{verb} {answer.get('id', label)}.")
    if not session.output.is_table:
        session.output.value(created[0] if len(wanted) == 1 else {"jobs": created})
    if refused:
        raise CommandError(f"{len(refused)} of {len(wanted)} jobs were not created: {', '.join(refused)}")


def _is_computed_name(name: str) -> bool:
    try:
        return is_computed(find_field(name)[0])
    except UsageError:
        return False
