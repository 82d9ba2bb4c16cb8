"""Why something did not run, or not to its end, in words that follow "it was skipped: " or the like."""

from datetime import datetime
from zoneinfo import ZoneInfo

SENTENCES = {
    "OVERLAP": "another run of the job was under way, and its concurrency is FORBID",
    "QUEUE_FULL": "as many runs of the job were waiting as max_queued_runs allows",
    "REPLACED": "a newer run of the job took the place, since its concurrency is REPLACE",
    "MISSED": "noticed too late, and left out by the job's missed_run_policy",
    "PAUSED": "the job was disabled",
    "CALENDAR": "a calendar of the job does not allow the day",
    "WINDOW": "outside the job's active windows, or inside a blackout window",
    "DST": "the clocks skipped that wall time, and the job's dst_policy is SKIP",
    "QUOTA": "a quota of the namespace was used up",
    "DEPENDENCY_FAILED": "a job that it depends on failed, or did not end in time",
    "BREAKER_OPEN": "the circuit breaker of its target was open, since the target had failed again and again",
    "INTERRUPTED": "its dispatcher was lost after the request may have gone out, and AT_MOST_ONCE forbids another one",
    "DELETED": "the job was deleted before it ran",
    "CANCELLED_BY_USER": "somebody cancelled it",
    "POLICY": "policies do not let it run",
    "ACCEPTED": "the target has accepted it, and is to tell how it ends",
}
UNTOLD = "no reason was recorded"


def reason_sentence(code: str, words: str) -> str:
    """What a reason code means, with the words that were recorded with it."""
    sentence = SENTENCES.get(code, "")
    if not words or words == sentence:
        return sentence or words or UNTOLD
    return f"{sentence} ({words})" if sentence else words


def moment_text(moment: datetime, zone: ZoneInfo) -> str:
    """A moment in a zone and in UTC: `Mon 2026-03-02 09:00:00 Europe/Berlin (08:00:00 UTC)`."""
    utc = moment.astimezone(ZoneInfo("UTC"))
    local = moment.astimezone(zone)
    if local.utcoffset() == utc.utcoffset():
        return f"{_day(utc)} {_clock(utc)} UTC"
    day = "" if local.date() == utc.date() else f"{utc:%Y-%m-%d} "
    return f"{_day(local)} {_clock(local)} {zone.key} ({day}{_clock(utc)} UTC)"


def _day(moment: datetime) -> str:
    name = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")[moment.weekday()]
    return f"{name} {moment:%Y-%m-%d}"


def _clock(moment: datetime) -> str:
    return moment.strftime("%H:%M:%S") + (f".{moment.microsecond:06}".rstrip("0") if moment.microsecond else "")
