"""What can be done with runs: `job backfill`, `job explain`, `execution replay`, `cancel` and `complete`."""

import uuid
from datetime import timedelta
from typing import Annotated, Any

import typer

from cli.chronosctl.commands.executions import ExecutionNames, execution_path
from cli.chronosctl.commands.jobs import JobId, concurrency_field, finished
from cli.chronosctl.errors import CommandError
from cli.chronosctl.moments import moment_json, shown_time
from cli.chronosctl.options import pairs
from cli.chronosctl.session import Session
from cli.chronosctl.tables import EXECUTION_COLUMNS, execution_row, show_execution, why

Json = dict[str, Any]
PATIENCE = timedelta(minutes=5)


def backfill_job(
    session: Session,
    job: JobId,
    begin: Annotated[str, typer.Option("--from", metavar="TIME", help="Begin of the range, inclusive: 2026-11-01.")],
    end: Annotated[str, typer.Option("--to", metavar="TIME", help="End of the range, exclusive; `now` at the latest.")],
    rerun: Annotated[bool, typer.Option("--rerun", help="Also times that have succeeded already.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would run.")] = False,
    concurrency: Annotated[
        str, typer.Option("--concurrency", metavar="RULE", help="Among each other: queue, allow, forbid or replace.")
    ] = "",
) -> None:
    """Runs a job for the times of its schedule in a past range, oldest first, without those that have succeeded."""
    body = {
        "from": moment_json(begin, session.now, "--from"),
        "to": moment_json(end, session.now, "--to"),
        **concurrency_field(concurrency),
        **({"rerun": True} if rerun else {}),
        **({"validate_only": True} if dry_run else {}),
    }
    answer = session.client.call("POST", session.client.path("jobs", job, "backfill"), body=body)
    if not session.output.is_table:
        session.output.value(answer)
        return
    runs = answer.get("executions") or []
    session.output.table(("EXECUTION", "DUE"), [(run["id"], shown_time(run.get("scheduled_time", ""))) for run in runs])
    done = answer.get("already_succeeded") or 0
    left_out = f"; {done} had succeeded and were left out" if done else ""
    session.output.say(f"{'Would run' if dry_run else 'On their way'}: {len(runs)}{left_out}.")


def explain_job(
    session: Session,
    job: JobId,
    at: Annotated[str, typer.Option("--at", metavar="TIME", help="The time in question; now unless given.")] = "",
) -> None:
    """Tells why a job ran or did not run at a time."""
    query = {"at": moment_json(at, session.now, "--at")} if at else {}
    answer = session.client.call("GET", session.client.path("jobs", job, "explain"), query=query)
    if session.output.is_table:
        _show_explanation(session, answer)
    else:
        session.output.value(answer)


def replay_execution(
    session: Session,
    names: ExecutionNames,
    url: Annotated[str, typer.Option("--url", help="Address to call instead.")] = "",
    method: Annotated[str, typer.Option("--method", help="Method to use instead.")] = "",
    header: Annotated[
        list[str] | None, typer.Option("--header", metavar="KEY=VALUE", help="Header to set; KEY= takes one away.")
    ] = None,
    body: Annotated[str | None, typer.Option("--body", help="Body to send instead.")] = None,
    skip_retries: Annotated[bool, typer.Option("--skip-retries", help="Make one attempt only.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for its end; exit 1 unless it succeeds.")] = False,
    request_id: Annotated[str, typer.Option("--request-id", help="Repeating it within 24 h runs nothing new.")] = "",
) -> None:
    """Repeats an execution with the request that was recorded for it, changed where you say so."""
    given = {"url": url, "method": method.upper(), "headers": pairs(header or [], "--header"), "body": body}
    changes = {name: value for name, value in given.items() if value or (name == "body" and value is not None)}
    wish: Json = {"request_id": request_id or str(uuid.uuid4()), **({"changes": changes} if changes else {})}
    wish |= {"skip_retries": True} if skip_retries else {}
    execution = session.client.call("POST", f"{execution_path(session.client, names)}/replay", body=wish)
    if wait:
        execution = finished(session, execution, PATIENCE)
    _show(session, execution)
    if wait and execution.get("status") != "SUCCESS":
        raise CommandError(f"the execution ended as {execution.get('status')}: {why(execution)}")


def cancel_execution(
    session: Session,
    names: ExecutionNames,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why, for the ledger.")] = "",
) -> None:
    """Stops an execution that waits or runs. It answers before it has stopped; then its status is CANCELLED."""
    body = {"reason": reason} if reason else {}
    _show(session, session.client.call("POST", f"{execution_path(session.client, names)}/cancel", body=body))


def complete_execution(
    session: Session,
    names: ExecutionNames,
    failed: Annotated[bool, typer.Option("--failed", help="It failed; without this, it succeeded.")] = False,
    response: Annotated[str, typer.Option("--response", metavar="TEXT", help="What came of it, for the ledger.")] = "",
    error: Annotated[str, typer.Option("--error", metavar="TEXT", help="What went wrong; means --failed.")] = "",
) -> None:
    """Tells how an execution ended that its target has accepted. Its status follows a moment later."""
    body = {
        "status": "FAILED" if failed or error else "SUCCESS",
        **({"response": response} if response else {}),
        **({"error": error} if error else {}),
    }
    _show(session, session.client.call("POST", f"{execution_path(session.client, names)}/complete", body=body))


def _show(session: Session, execution: Json) -> None:
    if session.output.is_table:
        show_execution(session.output, execution)
    else:
        session.output.value(execution)


def _show_explanation(session: Session, answer: Json) -> None:
    output = session.output
    output.facts(
        [
            (answer.get("verdict", ""), answer.get("summary", "")),
            ("", "\n".join(f"- {fact}" for fact in answer.get("facts") or ())),
            ("job version", answer.get("job_version") or ""),
            ("due before", shown_time(answer.get("previous_run") or "")),
            ("due after", shown_time(answer.get("next_run") or "")),
        ]
    )
    if answer.get("execution"):
        output.text("")
        output.table(EXECUTION_COLUMNS, [execution_row(answer["execution"])])
