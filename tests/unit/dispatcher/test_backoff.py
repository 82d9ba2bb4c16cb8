from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.dispatcher.domain.backoff import RetryPolicy, retry_after

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


def test_waits_grow_up_to_the_longest() -> None:
    policy = RetryPolicy(initial_interval=timedelta(seconds=1), max_interval=timedelta(seconds=10), multiplier=3)
    assert [policy.ceiling(n).total_seconds() for n in (1, 2, 3, 4, 5)] == [1, 3, 9, 10, 10]


def test_jitter_takes_away_at_most_half() -> None:
    policy = RetryPolicy(initial_interval=timedelta(seconds=4))
    assert policy.wait(1, lambda: 0.0) == timedelta(seconds=2)
    assert policy.wait(1, lambda: 0.5) == timedelta(seconds=3)


@given(
    attempt=st.integers(1, 100_000),
    multiplier=st.floats(1, 10),
    initial=st.timedeltas(timedelta(milliseconds=1), timedelta(hours=24)),
    longest=st.timedeltas(timedelta(milliseconds=1), timedelta(hours=24)),
    draw=st.floats(0, 1, exclude_max=True),
)
def test_a_wait_is_never_longer_than_the_longest(
    attempt: int, multiplier: float, initial: timedelta, longest: timedelta, draw: float
) -> None:
    policy = RetryPolicy(initial_interval=initial, max_interval=longest, multiplier=multiplier)
    assert timedelta(0) < policy.wait(attempt, lambda: draw) <= longest


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7),
        (" 0 ", 0),
        ("Thu, 01 Jan 2026 12:00:30 GMT", 30),
        ("Thu, 01 Jan 2026 11:00:00 GMT", 0),
        ("Thu, 01 Jan 2026 13:00:30 +0100", 30),
        ("86400", 3600),
        ("9" * 50, 3600),
        ("-5", 0),
        ("soon", 0),
        ("", 0),
        ("7.5", 0),
        ("Thu, 99 Jan 99999999999 12:00:30 GMT", 0),
    ],
)
def test_retry_after_is_seconds_or_a_date_within_bounds(header: str, seconds: int) -> None:
    assert retry_after(header, now=NOW, longest=HOUR) == timedelta(seconds=seconds)


@given(st.text())
def test_any_retry_after_is_survived(header: str) -> None:
    assert timedelta(0) <= retry_after(header, now=NOW, longest=HOUR) <= HOUR
