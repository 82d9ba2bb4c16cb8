"""What a rule can see."""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final
from zoneinfo import ZoneInfo

from services.policy.domain.limits import Extent
from services.policy.domain.policy import Json

USES = frozenset({"now", "load", "endpoint", "timing", "calendars"})
"""Facts that cost something to find out, or change while the job does not."""
CHANGING = USES - {"timing"}
"""Those of them that change while the job does not, so that a decision that rests on them does not last."""
ROOTS = USES | {"job", "before", "operation", "namespace", "caller", "extent", "params"}
"""All facts. A path that begins with any other name begins in the job."""
WEEKDAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


class Facts(dict[str, Json]):
    """Facts by root, and what was made of them for one judgement. Never changed once a rule has looked at it."""

    __slots__ = ("extent", "scenes")

    def __init__(self, roots: Mapping[str, Json], extent: Extent) -> None:
        super().__init__(roots)
        self.extent = extent
        """How large they are."""
        self.scenes: dict[tuple[str, ...], Any] = {}
        """What expressions see, by the roots that they look at."""


def clock_facts(time: datetime, timezone: str) -> dict[str, Json]:
    """`now`: an aware moment in a zone, and in UTC where there is no such zone."""
    local = time.astimezone(find_zone(timezone) or UTC)
    return {
        "time": local.isoformat(),
        "date": local.date().isoformat(),
        "year": local.year,
        "month": local.month,
        "day": local.day,
        "hour": local.hour,
        "minute": local.minute,
        "weekday": WEEKDAYS[local.weekday()],
        "is_weekend": local.weekday() >= WEEKDAYS.index("saturday"),
        "timezone": timezone if find_zone(timezone) and timezone else "UTC",
    }


@lru_cache(maxsize=1024)
def find_zone(name: str) -> ZoneInfo | None:
    """The IANA zone of a name, UTC for an empty one; None when there is none."""
    try:
        return ZoneInfo(name or "UTC")
    except (KeyError, ValueError, OSError):
        return None
