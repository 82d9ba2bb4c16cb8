"""Moments as the ledger counts them: whole microseconds since 1970."""

from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LAST_US = 253_402_300_799_999_999
"""The end of the year 9999."""

_MICROSECOND = timedelta(microseconds=1)


def to_us(moment: datetime) -> int:
    """The microseconds of an aware moment."""
    return (moment - EPOCH) // _MICROSECOND
