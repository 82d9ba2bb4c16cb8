"""`chronosctl dead-letters`: deliveries that failed for good, and what to do with them."""

import uuid
from enum import StrEnum
from typing import Annotated, Any

import typer

from cli.chronosctl.client import ApiClient
from cli.chronosctl.errors import CommandError, UsageError
from cli.chronosctl.moments import moment_json, shown_time
from cli.chronosctl.output import Row
from cli.chronosctl.session import Session
from cli.chronosctl.tables import show_execution, why

Json = dict[str, Any]
COLUMNS = ("DEAD LETTER", "JOB", "STATUS", "DUE", "DIED", "TRIES", "CODE", "WHY")
REPLAYS_A_CALL = 500


class Status(StrEnum):
    """How a dead letter ended."""

    FAILED = "FAILED"
    TIMED_OUT = "TIMED_OUT"
    LOST = "LOST"


LetterId = Annotated[str, typer.Argument(metavar="ID", help="Id of the dead letter: that of its execution.")]
Ids = Annotated[list[str] | None, typer.Argument(metavar="[ID]…", help="These; else those that the options choose.")]
Job = Annotated[str, typer.Option("--job", metavar="JOB", help="Only this job's.")]
Statuses = Annotated[
    list[Status] | None, typer.Option("--status", case_sensitive=False, help="Only these; may be repeated.")
]
Reasons = Annotated[
    list[str] | None, typer.Option("--reason", metavar="CODE", help="Only these, like INTERRUPTED; may be repeated.")
]
Begin = Annotated[str, typer.Option("--from", metavar="TIME", help="Died then or later: 2026-11-01, -2h.")]
End = Annotated[str, typer.Option("--to", metavar="TIME", help="Died before then.")]
Everything = Annotated[bool, typer.Option("--all", help="All of the namespace.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only show what would be done.")]


def list_dead_letters(
    session: Session,
    job: Job = "",
    status: Statuses = None,
    reason: Reasons = None,
    begin: Begin = "",
    end: End = "",
    replayed: Annotated[bool, typer.Option("--replayed", help="Also those that a replay has settled.")] = False,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many.")] = 20,
) -> None:
    """Lists dead letters, the last to die first."""
    query = _choice(session, job, status, reason, begin, end) | ({"include_replayed": "true"} if replayed else {})
    found = session.client.pages(_path(session.client), "dead_letters", query, limit)
    if session.output.is_table:
        session.output.table(COLUMNS, [_row(letter) for letter in found])
    else:
        session.output.value({"dead_letters": list(found)})


def get_dead_letter(session: Session, letter: LetterId) -> None:
    """Shows a dead letter with its attempts."""
    found = session.client.call("GET", _path(session.client, letter))
    if not session.output.is_table:
        session.output.value(found)
        return
    show_execution(session.output, found.get("execution") or {})
    settled_by = found.get("replayed_by")
    session.output.say(f"Settled: {settled_by} repeated it and succeeded." if settled_by else "Open.")


def replay_dead_letters(
    session: Session,
    ids: Ids = None,
    job: Job = "",
    status: Statuses = None,
    reason: Reasons = None,
    begin: Begin = "",
    end: End = "",
    everything: Everything = False,
    dry_run: DryRun = False,
    skip_retries: Annotated[bool, typer.Option("--skip-retries", help="Make one attempt only.")] = False,
    request_id: Annotated[str, typer.Option("--request-id", help="Repeating it within 24 h runs nothing new.")] = "",
) -> None:
    """Repeats dead letters with their recorded requests. Each is settled once its replay has succeeded."""
    choice = _choice(session, job, status, reason, begin, end)
    _ensure_chosen(ids, choice, everything)
    wish: Json = {"request_id": request_id or str(uuid.uuid4())} | ({"skip_retries": True} if skip_retries else {})
    if ids:
        if dry_run:
            raise UsageError("--dry-run goes with options that choose dead letters, not with their ids")
        calls = [session.client.call("POST", f"{_path(session.client, each)}/replay", body=wish) for each in ids]
        outcome: Json = {"dead_letter_ids": ids, "execution_ids": [call["id"] for call in calls], "failures": []}
    else:
        outcome = _replay_pages(session.client, choice | wish | ({"validate_only": True} if dry_run else {}))
    _show_replays(session, outcome, is_dry=dry_run)


def delete_dead_letter(session: Session, letter: LetterId) -> None:
    """Deletes a dead letter. Its execution stays in history until it ages out."""
    answer = session.client.call("DELETE", _path(session.client, letter))
    if session.output.is_table:
        session.output.text(f"Deleted {letter}.")
    else:
        session.output.value(answer)


def purge_dead_letters(
    session: Session,
    job: Job = "",
    status: Statuses = None,
    reason: Reasons = None,
    begin: Begin = "",
    end: End = "",
    replayed: Annotated[bool, typer.Option("--replayed", help="Also those that a replay has settled.")] = False,
    everything: Everything = False,
    dry_run: DryRun = False,
) -> None:
    """Deletes dead letters. Their executions stay in history until they age out."""
    choice = _choice(session, job, status, reason, begin, end)
    _ensure_chosen(None, choice, everything)
    body = choice | ({"include_replayed": True} if replayed else {}) | ({"validate_only": True} if dry_run else {})
    answer = session.client.call("POST", _path(session.client, "purge"), body=body)
    if session.output.is_table:
        session.output.text(f"{'Would delete' if dry_run else 'Deleted'} {answer.get('count') or 0}.")
    else:
        session.output.value(answer)


def _replay_pages(client: ApiClient, body: Json) -> Json:
    """What came of all pages of one wish."""
    outcome: Json = {"dead_letter_ids": [], "execution_ids": [], "failures": []}
    token = ""
    while True:
        page_body = body | {"page_size": REPLAYS_A_CALL} | ({"page_token": token} if token else {})
        page = client.call("POST", _path(client, "replay"), body=page_body)
        for name, all_of_them in outcome.items():
            all_of_them += page.get(name) or ()
        token = page.get("next_page_token") or ""
        if not token:
            return outcome


def _show_replays(session: Session, outcome: Json, *, is_dry: bool) -> None:
    letters, runs, failures = (outcome[name] for name in ("dead_letter_ids", "execution_ids", "failures"))
    if session.output.is_table:
        pairs = [(letter, "") for letter in letters] if is_dry else list(zip(letters, runs, strict=True))
        session.output.table(("DEAD LETTER", "REPLAYED BY"), pairs)
        session.output.say(f"{'Would replay' if is_dry else 'On their way'}: {len(letters)}.")
        for failure in failures:
            session.output.say(f"{failure['id']}: {failure.get('error', '')}", "red")
    else:
        session.output.value(outcome)
    if failures:
        raise CommandError(f"{len(failures)} could not be replayed and stay open")


def _choice(
    session: Session, job: str, status: list[Status] | None, reason: list[str] | None, begin: str, end: str
) -> Json:
    chosen = {
        "job_id": job,
        "status": [item.value for item in status or ()],
        "reason": [item.upper() for item in reason or ()],
        "from": moment_json(begin, session.now, "--from") if begin else "",
        "to": moment_json(end, session.now, "--to") if end else "",
    }
    return {name: value for name, value in chosen.items() if value}


def _ensure_chosen(ids: list[str] | None, choice: Json, everything: bool) -> None:
    if bool(ids) + bool(choice) + everything != 1:
        known = "ids, or options that choose (--job, --status, --reason, --from, --to), or --all"
        raise UsageError(f"say which dead letters: {known}, and only one of these")


def _row(letter: Json) -> Row:
    execution = letter.get("execution") or {}
    return (
        letter["id"],
        execution.get("job_id", ""),
        execution.get("status", ""),
        shown_time(execution.get("scheduled_time") or ""),
        shown_time(execution.get("completed_at") or ""),
        execution.get("attempt_count") or "",
        execution.get("status_code") or "",
        f"settled by {letter['replayed_by']}" if letter.get("replayed_by") else why(execution),
    )


def _path(client: ApiClient, *parts: str) -> str:
    return client.path("dead-letters", *parts)
