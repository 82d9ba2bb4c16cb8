"""Days of the week as cron writes them."""

from services.scheduler.domain.schedule.cron_fields import HASH, WEEKDAY, FieldReader
from services.scheduler.domain.schedule.errors import ScheduleError
from services.scheduler.domain.schedule.words import Piece

EXAMPLE = "MON-FRI or SAT,SUN"


def parse_weekdays(text: str) -> frozenset[int]:
    """The days that `MON-FRI`, `SAT,SUN`, `1-5` or `*` mean; Monday is 0. Raises ScheduleError of the field `days`."""
    field = Piece(text, 0)
    try:
        value = FieldReader(WEEKDAY, "").read(field)
    except ScheduleError as error:
        raise _wrong(error.problem, error.part, error.position) from error
    for part in field.split(","):
        if HASH.fullmatch(part.folded.partition("/")[0]):
            raise _wrong(f'"{part.text}" has no meaning here; use SUN to SAT, or 0 to 7', part.text, part.at)
    if value.terms:
        raise _wrong("an n-th or last weekday of a month has no meaning here; use SUN to SAT, or 0 to 7", text, 0)
    return frozenset((day - 1) % 7 for day in range(7) if value.mask >> day & 1)


def _wrong(problem: str, part: str, position: int) -> ScheduleError:
    return ScheduleError(problem, field="days", part=part, position=position, example=EXAMPLE)
