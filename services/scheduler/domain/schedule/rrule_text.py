r"""A recurrence as text: DTSTART, RRULE, RDATE and EXDATE (RFC 5545, 3.8.2 and 3.8.5).

Properties are separated by white space, by new lines, or by `\n` written as two characters; lines are not folded.
"""

import re
from dataclasses import dataclass, field
from datetime import datetime
from zoneinfo import ZoneInfo

from services.scheduler.domain.schedule.errors import ScheduleError
from services.scheduler.domain.schedule.rrule_rule import EXAMPLE, Rule, WallValue, halves, read_rule, refusal
from services.scheduler.domain.schedule.words import Piece, words_of
from services.scheduler.domain.schedule.zones import parse_timezone

LINE_BREAK = re.compile(r"\\[rn]")
NAMES = ("DTSTART", "RRULE", "RDATE", "EXDATE")
VALUE = re.compile(r"(\d{4})(\d{2})(\d{2})(?:T(\d{2})(\d{2})(\d{2})(Z)?)?")
DATE_EXAMPLES = {
    "DTSTART": "DTSTART;TZID=Europe/Berlin:20270101T090000",
    "UNTIL": "UNTIL=20271231T235959Z",
    "RDATE": "RDATE:20270101T090000",
    "EXDATE": "EXDATE:20271224T090000,20271231T090000",
}
UTC_ZONE = ZoneInfo("UTC")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recurrence:
    """What a text says. `extra` are the RDATEs, `excluded` the EXDATEs."""

    start: WallValue | None
    rules: tuple[Rule, ...]
    extra: tuple[WallValue, ...]
    excluded: tuple[WallValue, ...]


@dataclass(slots=True)
class _Reading:
    start: WallValue | None = None
    rules: list[Rule] = field(default_factory=list)
    extra: list[WallValue] = field(default_factory=list)
    excluded: list[WallValue] = field(default_factory=list)


def read_recurrence(text: str) -> Recurrence:
    """The properties of a text. Raises ScheduleError with the place of what is wrong."""
    reading = _Reading()
    strange = next((at for at, character in enumerate(text) if not character.isascii()), None)
    if strange is not None:
        piece = Piece(text[strange], strange)
        raise refusal(piece, f'"{piece.text}" is no character of a recurrence rule', EXAMPLE)
    for piece in words_of(LINE_BREAK.sub("  ", text)):
        _read_property(piece, reading)
    if not reading.rules and not reading.extra:
        raise ScheduleError("there is no RRULE and no RDATE", part=text, position=0, example=EXAMPLE)
    if reading.start is not None and reading.start.is_date:
        _check_dates_only(reading)
    return Recurrence(
        start=reading.start,
        rules=tuple(reading.rules),
        extra=tuple(reading.extra),
        excluded=tuple(reading.excluded),
    )


def _read_property(piece: Piece, reading: _Reading) -> None:
    head, value = halves(piece, ":")
    words = head.split(";")
    name = words[0].folded
    if name == "EXRULE":
        raise refusal(
            piece, "EXRULE is gone since RFC 5545: list the days in EXDATE, or use a calendar", DATE_EXAMPLES["EXDATE"]
        )
    if name not in NAMES or not value.text:
        problem = f'"{piece.text}" is none of {", ".join(f"{each}:" for each in NAMES)} with a value'
        raise refusal(piece, f"{problem}; write no blanks within one", EXAMPLE)
    if name == "RRULE":
        if len(words) > 1:
            raise refusal(words[1], "RRULE takes no parameters", EXAMPLE)
        reading.rules.append(read_rule(Piece(value.folded, value.at), _read_until))
        return
    values = _read_values(name, words[1:], value)
    if name != "DTSTART":
        (reading.extra if name == "RDATE" else reading.excluded).extend(values)
    elif reading.start is not None or len(values) > 1:
        raise refusal(piece, "there is more than one DTSTART", DATE_EXAMPLES["DTSTART"])
    else:
        reading.start = values[0]


def _read_values(name: str, parameters: list[Piece], value: Piece) -> list[WallValue]:
    zone: ZoneInfo | None = None
    is_date = False
    for parameter in parameters:
        key, said = halves(parameter, "=")
        match key.folded, said.folded:
            case "TZID", _:
                zone = _zone(said)
            case "VALUE", "DATE" | "DATE-TIME":
                is_date = said.folded == "DATE"
            case "VALUE", "PERIOD":
                raise refusal(said, "PERIOD is not supported: give the beginnings", DATE_EXAMPLES[name])
            case _:
                raise refusal(
                    parameter, f'"{parameter.text}" is unknown here: use TZID or VALUE=DATE', DATE_EXAMPLES[name]
                )
    values = [_read_value(piece, name, zone) for piece in value.split(",")]
    for piece, found in zip(value.split(","), values, strict=True):
        if is_date and not found.is_date:
            raise refusal(
                piece, f'"{piece.text}" has a time although VALUE=DATE stands before', f"{name};VALUE=DATE:20270101"
            )
    return values


def _read_value(piece: Piece, name: str, zone: ZoneInfo | None) -> WallValue:
    text = piece.folded
    if "/" in text:
        raise refusal(piece, "a period is not supported: give its beginning", DATE_EXAMPLES[name])
    match = VALUE.fullmatch(text)
    if match is None:
        raise refusal(piece, f'"{piece.text}" is neither YYYYMMDD nor YYYYMMDDTHHMMSS', DATE_EXAMPLES[name])
    year, month, day, hour, minute, second = (int(group or 0) for group in match.groups()[:6])
    try:
        wall = datetime(year, month, day, hour, minute, min(second, 59))  # noqa: DTZ001 - wall times bear no zone
    except ValueError:
        wall = None
    if wall is None or second > 60:
        raise refusal(piece, f'"{piece.text}" does not exist', DATE_EXAMPLES[name])
    if not 1900 <= wall.year <= 9000:
        raise refusal(piece, f'"{piece.text}" is too far away: use the years 1900 to 9000', DATE_EXAMPLES[name])
    if match.group(7) and zone is not None:
        raise refusal(
            piece, f'"{piece.text}" is in UTC (Z) although TZID names a zone: keep one of them', DATE_EXAMPLES[name]
        )
    zone = UTC_ZONE if match.group(7) else zone
    return WallValue(wall=wall, is_date=match.group(4) is None, zone=zone)


def _read_until(piece: Piece) -> WallValue:
    return _read_value(piece, "UNTIL", None)


def _zone(said: Piece) -> ZoneInfo:
    if not said.text.strip('"'):
        raise refusal(said, "TZID names no zone", DATE_EXAMPLES["DTSTART"])
    try:
        return parse_timezone(said.text.strip('"'))
    except ScheduleError as error:
        raise ScheduleError(error.problem, part=said.text, position=said.at, example=error.example) from error


def _check_dates_only(reading: _Reading) -> None:
    for rule in reading.rules:
        if rule.by_hour or rule.by_minute or rule.by_second or rule.freq.is_sub_daily:
            raise refusal(
                rule.piece,
                "a DTSTART without a time allows no BYHOUR, BYMINUTE, BYSECOND or FREQ below DAILY: give it a time",
                "DTSTART:20270101T090000 RRULE:FREQ=DAILY;BYHOUR=9,17",
            )
