"""What a store must know of a record's details."""

import uuid

from chronos.history.v1.execution_pb2 import Execution


def replayed_id(details: bytes) -> bytes:
    """The id of the execution that one with these details repeats; empty for one that repeats none."""
    told = Execution.FromString(details).replay_of if details else ""
    try:
        return uuid.UUID(told).bytes if told else b""
    except ValueError:
        return b""
