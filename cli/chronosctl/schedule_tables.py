"""Schedules, runs to come and forecasts as text."""

import re
from typing import Any

from cli.chronosctl.moments import shown_time
from cli.chronosctl.output import Output, Row, plain

Json = dict[str, Any]
RUN_COLUMNS = ("LOCAL TIME", "UTC", "NOTES")
BAR_WIDTH = 50


def run_row(run: Json) -> Row:
    """One line of next runs: a run to come, or runs that will not come."""
    count = run.get("count") or 1
    notes = list(run.get("notes") or ())
    if run.get("is_removed"):
        notes.insert(0, f"does not run ({count} times)" if count > 1 else "does not run")
    return (run.get("local_time", ""), _utc(run), "; ".join(notes))


def show_problem(output: Output, problem: Json, request: Json) -> None:
    """What is wrong, with a caret under the wrong part of the text, and how it is written."""
    field, position = problem.get("field", ""), problem.get("position", -1)
    output.text(plain(f"{field}: {problem.get('description', '')}"))
    text = _value_at(request, field)
    if isinstance(text, str) and 0 <= position <= len(text):
        output.text(plain(underlined(text, position, problem.get("part", ""))))
    example = problem.get("example", "")
    if example and example not in problem.get("description", ""):
        output.text(plain(f"  for example: {example}"))


def underlined(text: str, position: int, part: str) -> str:
    """The line of `text` that holds a position, and carets under the part that begins there."""
    begin = text.rfind("\n", 0, position) + 1
    line = text[begin:].split("\n", 1)[0]
    column = position - begin
    width = max(1, min(len(part), len(line) - column))
    return f"  {line}\n  {' ' * column}{'^' * width}"


def show_forecast(output: Output, forecast: Json) -> None:
    """A bar for each interval, as long as it has runs in comparison with the fullest one."""
    intervals = forecast.get("intervals") or []
    counts = [int(interval.get("runs") or 0) for interval in intervals]
    most = max(counts, default=0)
    digits = len(str(most))
    for interval, count in zip(intervals, counts, strict=True):
        begin = shown_time(interval.get("start", "")).replace(".000Z", "Z")
        peak = int(interval.get("peak_per_second") or 0)
        bar = "#" * max(1, round(BAR_WIDTH * count / most)) if count else ""
        output.text(f"{begin}  {count:>{digits}}  {bar}{f'  (at most {peak} in a second)' if count else ''}".rstrip())
    total, jobs = int(forecast.get("total_runs") or 0), int(forecast.get("jobs") or 0)
    output.text(f"{total} run{'s' * (total != 1)} of {jobs} job{'s' * (jobs != 1)}")


def _utc(run: Json) -> str:
    return shown_time(run.get("time") or run.get("nominal_time") or "").replace(".000Z", "Z")


def _value_at(request: Json, path: str) -> Any:
    found: Any = request
    for part in re.findall(r"[A-Za-z_]+|\d+", path):
        try:
            found = found[int(part)] if part.isdigit() else found[part]
        except (KeyError, IndexError, TypeError):
            return None
    return found
