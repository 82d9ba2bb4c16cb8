"""Hypothesis strategies for schedules: cron expressions, zones, policies and moments."""

from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

from services.scheduler.domain.schedule.spec import DstPolicy, RepeatedTime, SkippedTime

MONTHS = ["JAN", "feb", "Mar", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
WEEKDAYS = ["SUN", "mon", "Tue", "WED", "THU", "FRI", "SAT"]
ODD_ZONES = [
    "Africa/Cairo",
    "Africa/Casablanca",
    "America/Caracas",
    "America/Havana",
    "America/New_York",
    "America/Nuuk",
    "America/Sao_Paulo",
    "America/St_Johns",
    "Antarctica/Troll",
    "Asia/Amman",
    "Asia/Beirut",
    "Asia/Gaza",
    "Asia/Kathmandu",
    "Asia/Pyongyang",
    "Asia/Tehran",
    "Australia/Lord_Howe",
    "Europe/Berlin",
    "Europe/Dublin",
    "Europe/London",
    "Pacific/Apia",
    "Pacific/Chatham",
    "Pacific/Kwajalein",
    "UTC",
]


def _parts(low: int, high: int, *, steps: bool = True) -> st.SearchStrategy[str]:
    number = st.integers(low, high)
    step = st.integers(1, min(high, 31))
    # Ranges of one number are left out: croniter reads 5-5 as every number, cronsim 5-5/2 as 5/2.
    ends = st.tuples(number, number).filter(lambda ends: ends[0] != ends[1]).map(sorted)
    span = ends.map(lambda ends: f"{ends[0]}-{ends[1]}")
    plain = st.one_of(number.map(str), span)
    if not steps:
        return plain
    stepped = st.tuples(st.one_of(st.just("*"), plain), step).map(lambda both: f"{both[0]}/{both[1]}")
    return st.one_of(plain, stepped)


def _field(low: int, high: int, *extra: str, common: tuple[str, ...] = ()) -> st.SearchStrategy[str]:
    part = _parts(low, high)
    if extra:
        part = st.one_of(part, st.sampled_from(extra))
    listed = st.lists(part, min_size=1, max_size=3).map(",".join)
    return st.one_of(st.sampled_from(["*", *common]), listed)


SECONDS = _field(0, 59, common=("0", "*/20"))
MINUTES = _field(0, 59, common=("0", "30", "*/15", "*/30"))
HOURS = _field(0, 23, common=("0", "1", "2", "3", "*/2", "1-3"))
PLAIN_DAYS = _field(1, 31, common=("*", "*", "1", "31", "*/2"))
DAYS = _field(1, 31, "L", "LW", "L-3", "L-30", "1W", "15W", "31w", common=("*", "*", "?"))
MONTH_FIELDS = _field(1, 12, *MONTHS, "JAN-MAR", "feb-DEC/3", common=("*", "*", "2"))
PLAIN_WEEKDAYS = _field(0, 7, *WEEKDAYS, "MON-FRI", common=("*", "*", "*"))
WEEKDAY_FIELDS = _field(0, 7, *WEEKDAYS, "MON-FRI", "5L", "sunL", "MON#1", "0#2", "7#5", common=("*", "*", "?"))

CRON = (
    st.tuples(MINUTES, HOURS, DAYS, MONTH_FIELDS, WEEKDAY_FIELDS)
    .filter(lambda fields: not fields[2] == fields[4] == "?")
    .map(" ".join)
)
CRON_WITH_SECONDS = st.tuples(SECONDS, CRON).map(" ".join)
PLAIN_CRON = st.tuples(MINUTES, HOURS, PLAIN_DAYS, MONTH_FIELDS, PLAIN_WEEKDAYS).map(" ".join)
"""Without what only some dialects know: no L, W, #, ?."""
DAILY_CRON = st.tuples(MINUTES, HOURS).map(lambda fields: f"{fields[0]} {fields[1]} * * *")
HASHED_FIELD = st.sampled_from(["H", "H/2", "H/5", "H(1-7)", "H(2-6)/3"])
HASHED_CRON = st.tuples(*[HASHED_FIELD] * 5).map(" ".join)

ZONES = st.sampled_from(ODD_ZONES)
DST_POLICIES = st.builds(DstPolicy, skipped=st.sampled_from(SkippedTime), repeated=st.sampled_from(RepeatedTime))
MOMENTS = st.datetimes(datetime(1975, 1, 1), datetime(2060, 1, 1), timezones=st.just(UTC))
NEAR = st.integers(-36 * 60, 36 * 60).map(lambda minutes: timedelta(minutes=minutes))
