"""`chronosctl schedule validate`, `job next-runs` and `forecast`: when things will run."""

from datetime import timedelta
from typing import Annotated, Any

import typer

from cli.chronosctl.commands.jobs import JobId
from cli.chronosctl.durations import duration_json
from cli.chronosctl.errors import UsageError
from cli.chronosctl.moments import moment_json
from cli.chronosctl.options import Fields, nested, timing_options
from cli.chronosctl.schedule_tables import RUN_COLUMNS, run_row, show_forecast, show_problem
from cli.chronosctl.session import Session
from cli.chronosctl.splicing import splice

Count = Annotated[int | None, typer.Option("--count", "-n", min=1, max=1000, help="So many runs.")]
From = Annotated[
    str, typer.Option("--from", metavar="TIME", help="From then on: 2026-11-01, 2026-11-01T09:00:00Z, -2h, +1d.")
]
To = Annotated[str, typer.Option("--to", metavar="TIME", help="Until then.")]


@splice(timing_options, "timing")
def validate_schedule(
    session: Session,
    timing: Fields,
    expression: Annotated[str, typer.Argument(metavar="EXPRESSION", help="For example '30 9 * * MON-FRI'.")],
    job: Annotated[str, typer.Option("--job", metavar="JOB", help="Work out H and jitter for this job.")] = "",
    count: Count = None,
    begin: From = "",
) -> None:
    """Checks a schedule, says what it means and when it runs next. Exits 1 when it is wrong."""
    body = {"schedule": expression, **nested(timing)}
    body |= {"job_id": job} if job else {}
    body |= {"count": count} if count else {}
    body |= {"from": moment_json(begin, session.now, "--from")} if begin else {}
    answer = session.client.call("POST", session.client.path("schedules", "validate"), body=body)
    if session.output.is_table:
        _show_verdict(session, answer, body)
    else:
        session.output.value(answer)
    if not answer.get("valid"):
        raise typer.Exit(1)


def next_runs(session: Session, job: JobId, count: Count = None, begin: From = "") -> None:
    """Shows when a job runs next, after calendars, windows and jitter, and what they removed."""
    query: dict[str, Any] = {"count": count} if count else {}
    query |= {"from": moment_json(begin, session.now, "--from")} if begin else {}
    answer = session.client.call("GET", session.client.path("jobs", job, "next-runs"), query=query)
    if not session.output.is_table:
        session.output.value(answer)
        return
    session.output.table(RUN_COLUMNS, [run_row(run) for run in answer.get("next_runs") or ()])
    if answer.get("note"):
        session.output.say(answer["note"])


def forecast(
    session: Session,
    begin: From = "",
    end: To = "",
    step: Annotated[str, typer.Option("--step", metavar="DURATION", help="Length of an interval: 1m, 1h.")] = "",
) -> None:
    """Counts the runs to come, interval by interval: of the cluster, or of the namespace that was chosen."""
    moments = {"from": begin, "to": end}
    query = {name: moment_json(text, session.now, f"--{name}") for name, text in moments.items() if text}
    query |= {"step": _step(step)} if step else {}
    answer = session.client.call("GET", session.client.path("forecast"), query=query)
    if session.output.is_table:
        show_forecast(session.output, answer)
    else:
        session.output.value(answer)


def _show_verdict(session: Session, answer: dict[str, Any], body: dict[str, Any]) -> None:
    output = session.output
    if not answer.get("valid"):
        output.text("Not valid.")
        for problem in answer.get("problems") or [{"field": "schedule", "description": answer.get("error", "")}]:
            show_problem(output, problem, body)
        return
    output.text(f"Valid. {answer.get('description', '')}".rstrip())
    runs = answer.get("next_runs") or ()
    if runs:
        output.text("")
        output.table(RUN_COLUMNS, [run_row(run) for run in runs])


def _step(text: str) -> str:
    try:
        seconds = duration_json(text)
    except ValueError as error:
        raise UsageError(f"--step: {error}") from error
    if timedelta(seconds=float(seconds.removesuffix("s"))) < timedelta(seconds=1):
        raise UsageError("--step is at least 1s")
    return seconds
