"""Times and spans of the API, as a person reads them."""

from datetime import UTC, datetime, timedelta

from cli.chronosctl.errors import UsageError
from libs.durations import parse_duration

MOMENT_EXAMPLES = "write 2026-11-01, 2026-11-01T09:00:00Z, now, -2h or +1d"


def shown_time(text: str) -> str:
    """A timestamp to the millisecond, in UTC: `2026-01-01 09:00:00.000Z`. Empty for none."""
    moment = parsed_time(text)
    return "" if moment is None else f"{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def parsed_time(text: str) -> datetime | None:
    """The moment in an RFC 3339 timestamp of the API; None for an empty one."""
    return datetime.fromisoformat(text) if text else None


def lateness(execution: dict[str, str]) -> str:
    """How long after its time an execution began. Empty before it begins."""
    due, began = parsed_time(execution.get("scheduled_time", "")), parsed_time(execution.get("started_at", ""))
    return "" if due is None or began is None else shown_span(began - due)


def shown_seconds(text: str) -> str:
    """A duration of the API, such as `0.012s`, to three figures. Empty for none."""
    return shown_span(timedelta(seconds=float(text.removesuffix("s")))) if text else ""


def shown_span(span: timedelta) -> str:
    """`12 ms`, `1.25 s` or `4 min 5 s`."""
    seconds = span.total_seconds()
    if abs(seconds) < 1:
        return f"{seconds * 1000:.0f} ms"
    if abs(seconds) < 60:
        return f"{seconds:.2f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s"


def moment_json(text: str, now: datetime, option: str) -> str:
    """The RFC 3339 form of a moment on the command line. Raises UsageError.

    Takes RFC 3339, the same without an offset or a date alone (both mean UTC), `now`, and a span from now: `-2h`.
    """
    text = text.strip()
    try:
        if text == "now":
            return _rfc3339(now)
        if text[:1] in ("-", "+"):
            span = parse_duration(text[1:])
            return _rfc3339(now - span if text[0] == "-" else now + span)
        moment = datetime.fromisoformat(text)
    except (ValueError, OverflowError) as error:
        raise UsageError(f"{option}: {text!r} is not a time; {MOMENT_EXAMPLES}") from error
    return _rfc3339(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def offset_moment_json(text: str, where: str) -> str:
    """The RFC 3339 form of a moment that a job keeps: it must say its offset. Raises UsageError."""
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise UsageError(f"{where}: {text!r} is not a time; write it as 2027-01-01T09:00:00+01:00") from error
    if moment.tzinfo is None:
        local = moment.isoformat()
        raise UsageError(
            f"{where}: {text!r} does not say its offset; write {local}Z for UTC, or for example {local}+01:00"
        )
    return _rfc3339(moment)


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
