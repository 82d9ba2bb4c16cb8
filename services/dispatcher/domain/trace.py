"""W3C trace context (https://www.w3.org/TR/trace-context/), as far as a delivery needs it."""

import re
from collections.abc import Callable

TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})")
SAMPLED = 1


def trace_id(traceparent: str) -> str:
    """The trace id, 32 hex digits; empty when `traceparent` is not valid."""
    match = TRACEPARENT.fullmatch(traceparent)
    return match.group(1) if match else ""


def is_sampled(traceparent: str) -> bool:
    """Whether the trace is to be recorded."""
    match = TRACEPARENT.fullmatch(traceparent)
    return match is not None and int(match.group(2), 16) & SAMPLED == SAMPLED


def child(traceparent: str, execution_id: str, random_bits: Callable[[int], int]) -> str:
    """The context of a new span in the same trace. Without a valid parent, the execution's id is the trace id."""
    match = TRACEPARENT.fullmatch(traceparent)
    trace, flags = match.groups() if match else (_trace_of(execution_id, random_bits), "00")
    return f"00-{trace}-{random_bits(64) or 1:016x}-{flags}"


def _trace_of(execution_id: str, random_bits: Callable[[int], int]) -> str:
    digits = execution_id.replace("-", "").lower()
    is_usable = re.fullmatch(r"(?!0{32})[0-9a-f]{32}", digits)
    return digits if is_usable else f"{random_bits(128) or 1:032x}"
