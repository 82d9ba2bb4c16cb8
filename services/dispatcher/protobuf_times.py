"""Moments and spans from and to protobuf, without the detours of its own conversions."""

from datetime import UTC, datetime, timedelta

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NO_TIME = timedelta(0)


def read_moment(message: Timestamp) -> datetime:
    """A moment, in UTC; less than a microsecond is cut off."""
    return EPOCH + timedelta(seconds=message.seconds, microseconds=message.nanos // 1000)


def write_moment(moment: datetime, message: Timestamp) -> None:
    """Writes a moment."""
    since = moment - EPOCH
    message.seconds = since.days * 86_400 + since.seconds
    message.nanos = since.microseconds * 1_000


def read_span(message: Duration) -> timedelta:
    """A span; less than a microsecond is cut off."""
    return timedelta(seconds=message.seconds, microseconds=message.nanos // 1000)


def write_span(span: timedelta, message: Duration) -> None:
    """Writes a span. Between two machines' clocks one may come out negative: it is written as none."""
    span = max(span, NO_TIME)
    message.seconds = span.days * 86_400 + span.seconds
    message.nanos = span.microseconds * 1_000
