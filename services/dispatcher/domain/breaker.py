"""When to leave a host alone that keeps failing: a circuit breaker (M. Nygard, Release It!, 2007) as pure steps.

    CLOSED ──`failures` in a row──▶ OPEN ──after `open_seconds`──▶ HALF_OPEN ──`successes` in a row──▶ CLOSED
                                     ▲                                 │
                                     └─────────a failed probe──────────┘

Moments are seconds of a clock that never jumps.
"""

from dataclasses import dataclass, replace
from enum import StrEnum


class State(StrEnum):
    """Whether requests go out."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Pass(StrEnum):
    """How a request may go out: like any other, or as the probe that shows whether the host is well again."""

    PLAIN = "plain"
    PROBE = "probe"


class Sign(StrEnum):
    """What the end of a request says about its host.

    ANSWERED is an answer that says nothing about its health (4xx): a failure no more than a success, except that a host
    that answers a probe so is there again. NONE is no answer for a reason of our own.
    """

    SUCCESS = "success"
    FAILURE = "failure"
    ANSWERED = "answered"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """When to open and to close. `failures` of 0 switches all breakers off."""

    failures: int = 5
    open_seconds: float = 30.0
    successes: int = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Breaker:
    """What is known of a host. `failures` and `successes` are counted in a row, the latter of probes only.

    `since` is when the state was entered; `probe_at` is when the next probe may go out, while OPEN.
    """

    state: State = State.CLOSED
    failures: int = 0
    successes: int = 0
    since: float = 0.0
    probe_at: float = 0.0
    is_probing: bool = False
    last_error: str = ""


def admit(breaker: Breaker, *, now: float) -> tuple[Breaker, Pass | None]:
    """How a request may go out now; None when it may not."""
    match breaker.state:
        case State.CLOSED:
            return breaker, Pass.PLAIN
        case State.OPEN if now < breaker.probe_at:
            return breaker, None
        case State.OPEN:
            return replace(breaker, state=State.HALF_OPEN, successes=0, since=now, is_probing=True), Pass.PROBE
        case State.HALF_OPEN if breaker.is_probing:
            return breaker, None
        case State.HALF_OPEN:
            return replace(breaker, is_probing=True), Pass.PROBE


def learn(breaker: Breaker, how: Pass, sign: Sign, *, now: float, error: str, rules: Rules) -> Breaker:
    """The breaker after the end of a request that went out as `how`.

    A plain one that ends after the breaker has opened says nothing that is not known: it began before.
    """
    if how is Pass.PROBE:
        return _after_probe(breaker, sign, now=now, error=error, rules=rules)
    if breaker.state is not State.CLOSED or sign in (Sign.ANSWERED, Sign.NONE):
        return breaker
    if sign is Sign.SUCCESS:
        return Breaker(since=breaker.since)
    failed = replace(breaker, failures=breaker.failures + 1, last_error=error)
    return _open(failed, now, rules) if failed.failures >= rules.failures else failed


def _after_probe(breaker: Breaker, sign: Sign, *, now: float, error: str, rules: Rules) -> Breaker:
    if breaker.state is not State.HALF_OPEN:
        return breaker
    free = replace(breaker, is_probing=False)
    match sign:
        case Sign.NONE:
            return free
        case Sign.FAILURE:
            return _open(replace(free, failures=free.failures + 1, last_error=error), now, rules)
        case Sign.SUCCESS | Sign.ANSWERED:
            is_well = free.successes + 1 >= rules.successes
            return Breaker(since=now) if is_well else replace(free, successes=free.successes + 1)


def _open(breaker: Breaker, now: float, rules: Rules) -> Breaker:
    return replace(
        breaker, state=State.OPEN, successes=0, since=now, probe_at=now + rules.open_seconds, is_probing=False
    )
