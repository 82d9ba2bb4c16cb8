"""`chronosctl calendar`: named sets of days."""

from pathlib import Path
from typing import Annotated, Any

import typer

from cli.chronosctl.commands.changes import Check, Etag
from cli.chronosctl.documents import CALENDARS, STANDARD_INPUT, read_one, source_text
from cli.chronosctl.errors import UsageError
from cli.chronosctl.moments import shown_time
from cli.chronosctl.session import Session

Json = dict[str, Any]
CalendarId = Annotated[str, typer.Argument(metavar="CALENDAR", help="Id of the calendar.")]
File = Annotated[str, typer.Option("--file", "-f", metavar="FILE", help="YAML or JSON file; - reads stdin.")]
Name = Annotated[str, typer.Option("--name", help="What people call it.")]
Dates = Annotated[
    list[str] | None,
    typer.Option("--date", metavar="DAY", help="2026-12-25, 12-25 or 2026-12-24/2027-01-02. Repeatable."),
]
Weekdays = Annotated[str, typer.Option("--weekdays", metavar="DAYS", help="Days of the week: SAT,SUN.")]
Rules = Annotated[list[str] | None, typer.Option("--rule", metavar="RRULE", help="Days that come back. Repeatable.")]
COLUMNS = ("ID", "NAME", "DATES", "WEEKDAYS", "RULES", "CHANGED")
COMPUTED = ("created_at", "updated_at", "updated_by")
SHOWN_DATES = 40


def list_calendars(session: Session) -> None:
    """Lists calendars, ordered by id. `weekends` is built in."""
    found = session.client.pages(session.client.path("calendars"), "calendars", {}, None)
    if session.output.is_table:
        session.output.table(COLUMNS, [_row(calendar) for calendar in found])
    else:
        session.output.value({"calendars": list(found)})


def get_calendar(session: Session, calendar: CalendarId) -> None:
    """Shows a calendar. Its YAML (-o yaml) can be edited and given back to `calendar replace`."""
    _show(session, session.client.call("GET", session.client.path("calendars", calendar)))


def create_calendar(
    session: Session,
    calendar: Annotated[str, typer.Argument(metavar="[CALENDAR]", help="Id; without it, the name makes one.")] = "",
    file: File = "",
    name: Name = "",
    date: Dates = None,
    weekdays: Weekdays = "",
    rule: Rules = None,
    validate_only: Check = False,
) -> None:
    """Creates a calendar from a file or from options."""
    body = _calendar(file, {"id": calendar, "name": name or calendar}, date, weekdays, rule)
    body.pop("etag", None)
    query = {"validate_only": "true"} if validate_only else {}
    _show(session, session.client.call("POST", session.client.path("calendars"), query=query, body=body))


def replace_calendar(
    session: Session,
    calendar: Annotated[str, typer.Argument(metavar="[CALENDAR]", help="Id; without it, that in the file.")] = "",
    file: File = "",
    name: Name = "",
    date: Dates = None,
    weekdays: Weekdays = "",
    rule: Rules = None,
    validate_only: Check = False,
) -> None:
    """Replaces a calendar by the one in a file, or in options. What is not given is gone."""
    body = _calendar(file, {"name": name or calendar}, date, weekdays, rule)
    chosen = calendar or str(body.get("id", ""))
    if not chosen:
        raise UsageError(f"{file} has no `id:`; name the calendar on the command line")
    query = {"validate_only": "true"} if validate_only else {}
    _show(session, session.client.call("PUT", session.client.path("calendars", chosen), query=query, body=body))


def delete_calendar(session: Session, calendar: CalendarId, etag: Etag = "") -> None:
    """Deletes a calendar. Refused while jobs use it."""
    query = {"etag": etag} if etag else {}
    answer = session.client.call("DELETE", session.client.path("calendars", calendar), query=query)
    if session.output.is_table:
        session.output.text(f"Deleted {calendar}.")
    else:
        session.output.value(answer)


def import_calendar(
    session: Session,
    file: Annotated[str, typer.Argument(metavar="FILE", help="An iCalendar file (.ics); - reads stdin.")],
    calendar: Annotated[str, typer.Option("--id", help="Id; without it, the file's name.")] = "",
    name: Name = "",
    merge: Annotated[bool, typer.Option("--merge", help="Keep the days that it holds already.")] = False,
) -> None:
    """Puts the days of an iCalendar file into a calendar, in place of what it holds. Makes it when there is none."""
    chosen = calendar or ("" if file == STANDARD_INPUT else Path(file).stem.lower())
    if not chosen:
        raise UsageError("name the calendar with --id")
    body: Json = {
        "icalendar": source_text(file),
        **({"name": name} if name else {}),
        **({"merge": True} if merge else {}),
    }
    _show(session, session.client.call("POST", session.client.path("calendars", chosen, "import"), body=body))


def without_computed(calendar: Json) -> Json:
    """The calendar without what only the server sets."""
    return {name: value for name, value in calendar.items() if name not in COMPUTED}


def _calendar(file: str, named: Json, dates: list[str] | None, weekdays: str, rules: list[str] | None) -> Json:
    days = {"dates": dates or [], "weekdays": weekdays, "rules": rules or []}
    given = {name: value for name, value in {**named, **days}.items() if value}
    if file and any(days.values()):
        raise UsageError("give either --file or --date, --weekdays and --rule, not both")
    if file:
        held = without_computed(read_one(file, CALENDARS))
        return {**given, **held, **({"id": named["id"]} if named.get("id") else {})}
    if not any(days.values()):
        raise UsageError("give the days: --file, --date, --weekdays or --rule")
    return given


def _row(calendar: Json) -> tuple[object, ...]:
    return (
        calendar.get("id", ""),
        calendar.get("name", ""),
        len(calendar.get("dates") or ()) or "",
        calendar.get("weekdays", ""),
        len(calendar.get("rules") or ()) or "",
        shown_time(calendar.get("updated_at") or ""),
    )


def _show(session: Session, calendar: Json) -> None:
    if not session.output.is_table:
        session.output.value(calendar)
        return
    dates = list(calendar.get("dates") or ())
    more = [f"… and {len(dates) - SHOWN_DATES} more"] if len(dates) > SHOWN_DATES else []
    session.output.facts(
        [
            ("id", calendar.get("id", "")),
            ("namespace", calendar.get("namespace", "")),
            ("name", calendar.get("name", "")),
            ("description", calendar.get("description", "")),
            ("dates", "\n".join([*dates[:SHOWN_DATES], *more])),
            ("weekdays", calendar.get("weekdays", "")),
            ("rules", "\n".join(calendar.get("rules") or ())),
            ("changed", f"{shown_time(calendar.get('updated_at') or '')} by {calendar.get('updated_by') or 'nobody'}"),
            ("etag", calendar.get("etag", "")),
        ]
    )
