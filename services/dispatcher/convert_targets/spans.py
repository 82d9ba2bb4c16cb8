"""How long an attempt may take."""

from datetime import timedelta

from google.protobuf.duration_pb2 import Duration

from services.dispatcher.protobuf_times import read_span

SHORTEST = timedelta(milliseconds=1)


def span_or(message: Duration, default: timedelta) -> timedelta:
    """The span, a millisecond at least; the default when it is empty."""
    return max(read_span(message), SHORTEST) if message.seconds or message.nanos else default
