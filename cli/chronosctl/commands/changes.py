"""`chronosctl job create`, `replace` and `update`: jobs from files and flags."""

import uuid
from typing import Annotated, Any

import typer

from cli.chronosctl.commands.jobs import JobId, pairs, show
from cli.chronosctl.documents import read_job, read_jobs
from cli.chronosctl.errors import CommandError, RefusedError, UsageError
from cli.chronosctl.fields import find_field, is_computed, mask_paths, typed_value
from cli.chronosctl.session import Session

Json = dict[str, Any]
File = Annotated[str | None, typer.Option("--file", "-f", metavar="FILE", help="YAML or JSON file; - reads stdin.")]
Check = Annotated[bool, typer.Option("--validate-only", help="Check only; change nothing.")]
Sets = Annotated[
    list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="Any field, for example webhook.method=PUT.")
]
Name = Annotated[str | None, typer.Option("--name", help="What people call it.")]
Schedule = Annotated[str | None, typer.Option("--schedule", help="Cron expression, @hourly or @every 90s.")]
Zone = Annotated[str | None, typer.Option("--timezone", help="IANA zone, for example Europe/Berlin.")]
Url = Annotated[str | None, typer.Option("--url", help="Address that the webhook calls.")]
Method = Annotated[str | None, typer.Option("--method", help="HTTP method of the webhook.")]
Body = Annotated[str | None, typer.Option("--body", help="Body that the webhook sends.")]
Timeout = Annotated[str | None, typer.Option("--timeout", metavar="DURATION", help="Longest attempt: 30s, 5m.")]


def create_jobs(
    session: Session,
    file: File = None,
    job_id: Annotated[str | None, typer.Option("--id", help="Id; without it, the name makes one.")] = None,
    name: Name = None,
    schedule: Schedule = None,
    timezone: Zone = None,
    url: Url = None,
    method: Method = None,
    body: Body = None,
    timeout: Timeout = None,
    header: Annotated[list[str] | None, typer.Option("--header", metavar="KEY=VALUE")] = None,
    tag: Annotated[list[str] | None, typer.Option("--tag", metavar="KEY=VALUE")] = None,
    disabled: Annotated[bool, typer.Option("--disabled", help="Create it without letting it fire.")] = False,
    assignment: Sets = None,
    validate_only: Check = False,
) -> None:
    """Creates the jobs of a file, or one job from flags. Goes on after a failure, and then exits 1."""
    flags = {
        "id": job_id,
        **_quick_fields(name, schedule, timezone, url, method, body, timeout),
        "enabled": "false" if disabled else None,
    }
    assignments = _assignments(flags, assignment)
    assignments |= {f"webhook.headers.{name}": value for name, value in pairs(header or [], "--header").items()}
    assignments |= {f"tags.{name}": value for name, value in pairs(tag or [], "--tag").items()}
    if file is not None and assignments:
        raise UsageError("give either --file or the fields of one job, not both")
    if file is None:
        job: Json = {}
        for path, value in assignments.items():
            _put(job, path, value)
        if not job:
            raise UsageError("give a job with --file, or at least --name, --schedule and --url")
    _create_all(session, [job] if file is None else read_jobs(file), validate_only)


def replace_job(
    session: Session,
    file: Annotated[str, typer.Option("--file", "-f", metavar="FILE", help="YAML or JSON file; - reads stdin.")],
    job_id: Annotated[str | None, typer.Argument(metavar="[JOB]", help="Id; without it, that in the file.")] = None,
    validate_only: Check = False,
) -> None:
    """Replaces a job by the one in a file: what is not given there takes its default."""
    job = _without_computed(read_job(file))
    chosen = job_id or job.get("id")
    if not chosen:
        raise UsageError(f"{file} has no `id:`; name the job on the command line")
    query = {"validate_only": "true"} if validate_only else {}
    show(session, session.client.call("PUT", session.client.path("jobs", str(chosen)), query=query, body=job))


def update_job(
    session: Session,
    job_id: JobId,
    file: File = None,
    name: Name = None,
    schedule: Schedule = None,
    timezone: Zone = None,
    url: Url = None,
    method: Method = None,
    body: Body = None,
    timeout: Timeout = None,
    assignment: Sets = None,
    etag: Annotated[str, typer.Option("--etag", help="Only when this is still its etag.")] = "",
    validate_only: Check = False,
) -> None:
    """Changes some fields of a job: those in a file, in flags, or both (flags win)."""
    job = _without_computed(read_job(file)) if file else {}
    mask = list(mask_paths(job))
    assignments = _assignments(_quick_fields(name, schedule, timezone, url, method, body, timeout), assignment)
    for path, value in assignments.items():
        _, rest = find_field(path)
        if rest:
            path, value = _merged_map(session, job_id, job, path, value)
        _put(job, path, value)
        mask += [] if path in mask else [path]
    if not mask:
        raise UsageError("give the fields to change: --file, --schedule, --url, --set FIELD=VALUE, …")
    if etag:
        job["etag"] = etag
    query = {"update_mask": ",".join(mask), **({"validate_only": "true"} if validate_only else {})}
    show(session, session.client.call("PATCH", session.client.path("jobs", job_id), query=query, body=job))


def _quick_fields(
    name: str | None,
    schedule: str | None,
    timezone: str | None,
    url: str | None,
    method: str | None,
    body: str | None,
    timeout: str | None,
) -> dict[str, str | None]:
    webhook = {"webhook.url": url, "webhook.method": method and method.upper(), "webhook.body": body}
    return {"name": name, "schedule": schedule, "timezone": timezone, "timeout": timeout, **webhook}


def _assignments(flags: dict[str, str | None], sets: list[str] | None) -> dict[str, Any]:
    texts = {path: text for path, text in flags.items() if text is not None} | pairs(sets or [], "--set")
    values = {}
    for path, text in texts.items():
        field, rest = find_field(path)
        if is_computed(field):
            raise UsageError(f"{path} is set by the server")
        values[path] = text if rest else typed_value(field, text, path)
    return values


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
        query = {"request_id": str(uuid.uuid4()), **({"validate_only": "true"} if validate_only else {})}
        try:
            answer = session.client.call("POST", session.client.path("jobs"), query=query, body=_new_job(job))
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


def _without_computed(job: Json) -> Json:
    """The job without what only the server sets, so that the output of `job get` can be given back."""
    return {name: value for name, value in job.items() if not _is_computed_name(name)}


def _new_job(job: Json) -> Json:
    """The job as it is created: also the output of `job get` for another job makes a new one."""
    return {name: value for name, value in _without_computed(job).items() if name != "etag"}


def _is_computed_name(name: str) -> bool:
    try:
        return is_computed(find_field(name)[0])
    except UsageError:
        return False


def _put(job: Json, path: str, value: Any) -> None:
    """Sets a field in a nested document; everything after a map's name is one key."""
    _, rest = find_field(path)
    parts = path.split(".")
    keys = [*parts[: -len(rest)], ".".join(rest)] if rest else parts
    for key in keys[:-1]:
        job = job.setdefault(key, {})
    job[keys[-1]] = value
