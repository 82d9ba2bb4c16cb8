"""Times and spans of the API, as a person reads them."""

from datetime import datetime, timedelta


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
