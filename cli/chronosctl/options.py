"""The options that say when a job runs and what it does, once for all commands. Each gives fields by their paths."""

from typing import Annotated, Any

import typer

from cli.chronosctl.errors import UsageError
from cli.chronosctl.fields import ALIASES, find_field, is_computed
from cli.chronosctl.splicing import splice
from cli.chronosctl.values import converted, typed_value

Fields = dict[str, Any]
Texts = list[str] | None
WHEN, RUNS = "When it runs", "How it runs"


def _option(name: str, metavar: str, text: str, panel: str = WHEN) -> Any:
    return typer.Option(name, metavar=metavar, help=text, rich_help_panel=panel)


def timing_options(
    timezone: Annotated[str | None, _option("--timezone", "ZONE", "IANA zone, for example Europe/Berlin.")] = None,
    dst_skipped: Annotated[
        str | None, _option("--dst-skipped", "RULE", "A wall time that the clocks skip: skip, next-valid or before.")
    ] = None,
    dst_repeated: Annotated[
        str | None, _option("--dst-repeated", "RULE", "A wall time that comes twice: first, last or both.")
    ] = None,
    start: Annotated[str | None, _option("--start", "TIME", "Runs from then on: 2027-01-01T00:00:00Z.")] = None,
    end: Annotated[str | None, _option("--end", "TIME", "Runs no more from then on.")] = None,
    max_runs: Annotated[int | None, _option("--max-runs", "N", "Follows its schedule so many times.")] = None,
    jitter: Annotated[str | None, _option("--jitter", "DURATION", "Spreads runs over so long: 30s, 5m.")] = None,
    active: Annotated[Texts, _option("--active", "WINDOW", "Runs only then: MON-FRI@09:00-17:00. Repeatable.")] = None,
    blackout: Annotated[
        Texts, _option("--blackout", "WINDOW", "Never runs then: SAT,SUN or 2026-12-24/2027-01-02. Repeatable.")
    ] = None,
    include_calendar: Annotated[
        Texts, _option("--include-calendar", "CALENDAR", "Runs only on its days. Repeatable.")
    ] = None,
    exclude_calendar: Annotated[
        Texts, _option("--exclude-calendar", "CALENDAR", "Does not run on its days. Repeatable.")
    ] = None,
    roll: Annotated[
        str | None,
        _option("--roll", "RULE", "A run on a day not allowed: skip, next-business-day or previous-business-day."),
    ] = None,
) -> Fields:
    """The fields that say when a job runs, all but the schedule itself."""
    return typed_fields(
        {
            "timezone": timezone,
            "dst_policy.skipped_time": dst_skipped,
            "dst_policy.repeated_time": dst_repeated,
            "start_time": start,
            "end_time": end,
            "max_runs": max_runs,
            "jitter": jitter,
            "active_windows": active,
            "blackout_windows": blackout,
            "calendars.include": include_calendar,
            "calendars.exclude": exclude_calendar,
            "calendars.roll": roll,
        }
    )


@splice(timing_options, "timing")
def job_options(
    timing: Fields,
    name: Annotated[str | None, typer.Option("--name", help="What people call it.")] = None,
    schedule: Annotated[
        str | None, _option("--schedule", "EXPR", "Cron, @hourly, @every 90s, @at TIME, RRULE:… or @manual.")
    ] = None,
    depends_on: Annotated[Texts, _option("--depends-on", "JOB", "Runs after this job. Repeatable.")] = None,
    url: Annotated[str | None, typer.Option("--url", help="Address that the webhook calls.")] = None,
    method: Annotated[str | None, typer.Option("--method", help="HTTP method of the webhook.")] = None,
    body: Annotated[str | None, typer.Option("--body", help="Body that the webhook sends.")] = None,
    header: Annotated[Texts, typer.Option("--header", metavar="KEY=VALUE", help="Header of the webhook.")] = None,
    tag: Annotated[Texts, typer.Option("--tag", metavar="KEY=VALUE", help="Label to find it by.")] = None,
    timeout: Annotated[
        str | None, _option("--timeout", "DURATION", "Longest time for one attempt: 30s, 5m.", RUNS)
    ] = None,
    attempts: Annotated[int | None, _option("--attempts", "N", "Attempts in all, the first included.", RUNS)] = None,
    concurrency: Annotated[
        str | None,
        _option("--concurrency", "RULE", "While another run is under way: forbid, allow, replace or queue.", RUNS),
    ] = None,
    max_queued: Annotated[
        int | None, _option("--max-queued", "N", "So many runs may wait with --concurrency queue.", RUNS)
    ] = None,
    missed: Annotated[
        str | None, _option("--missed", "RULE", "Runs noticed too late: ignore, execute-one or execute-all.", RUNS)
    ] = None,
    priority: Annotated[int | None, _option("--priority", "N", "1 (last) to 9 (first); 5 unless told.", RUNS)] = None,
    delivery: Annotated[
        str | None, _option("--delivery", "RULE", "After a fault: at-least-once or at-most-once.", RUNS)
    ] = None,
    assignment: Annotated[
        Texts, typer.Option("--set", metavar="FIELD=VALUE", help="Any field, for example webhook.method=PUT.")
    ] = None,
) -> Fields:
    """The fields of a job that options give; `--set` wins."""
    given = {
        "name": name,
        "schedule": schedule,
        "dependencies.depends_on": depends_on,
        "webhook.url": url,
        "webhook.method": method and method.upper(),
        "webhook.body": body,
        "timeout": timeout,
        "retry_policy.max_attempts": attempts,
        "concurrency": concurrency,
        "max_queued_runs": max_queued,
        "missed_run_policy": missed,
        "priority": priority,
        "delivery_guarantee": delivery,
    }
    headers = {f"webhook.headers.{key}": value for key, value in pairs(header or [], "--header").items()}
    tags = {f"tags.{key}": value for key, value in pairs(tag or [], "--tag").items()}
    return {**typed_fields(given), **timing, **headers, **tags, **_assigned(assignment or [])}


def typed_fields(given: Fields) -> Fields:
    """What was given, each value in the JSON form of its field. Raises UsageError."""
    return {
        path: converted(value, find_field(path)[0], path)
        for path, value in given.items()
        if value is not None and value != []
    }


def put(document: Fields, path: str, value: Any) -> None:
    """Sets a field of a job in a nested document; everything after a map's name is one key."""
    _, rest = find_field(path)
    parts = path.split(".")
    keys = [*parts[: -len(rest)], ".".join(rest)] if rest else parts
    for key in keys[:-1]:
        document = document.setdefault(key, {})
    document[keys[-1]] = value


def nested(fields: Fields) -> Fields:
    """A document that has these fields at their paths."""
    document: Fields = {}
    for path, value in fields.items():
        put(document, path, value)
    return document


def pairs(texts: list[str], option: str) -> dict[str, str]:
    """The mapping that `KEY=VALUE` texts mean. Raises UsageError."""
    for text in texts:
        if "=" not in text.removeprefix("="):
            raise UsageError(f"{option} {text!r}: write it as KEY=VALUE")
    return dict(text.split("=", 1) for text in texts)


def _assigned(assignments: list[str]) -> Fields:
    values = {}
    for path, text in pairs(assignments, "--set").items():
        field, rest = find_field(path)
        if is_computed(field):
            raise UsageError(f"{path} is set by the server")
        values[ALIASES.get(path, path)] = text if rest else typed_value(field, text, path)
    return values
