"""Durations as people write them, in the JSON form of the API."""

from google.protobuf.duration_pb2 import Duration

from libs.durations import parse_duration


def duration_json(text: str) -> str:
    """The JSON form of `5m`, `1h30m`, `500ms` or `90s`: seconds, as in `300s`. Raises ValueError."""
    duration = Duration()
    duration.FromTimedelta(parse_duration(text))
    return duration.ToJsonString()
