"""What a job may have been at each moment, told from the calls alone.

A call that was sent at s and answered at a takes effect somewhere in [s, a + change_us]. A call without an answer takes
effect from s on, or never, until a later acknowledged call of the job settles it. Versions tell more: where a later
answer's version is the next one, the call was not done before it; where it jumped, it was. A clock that is behind dates
a change back.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from tests.faults.checks.fault_times import FaultTimes
from tests.faults.history import Call, CallKind, JobRules, Limits, Outcome

EVER_US = 1 << 62
CHANGES = frozenset({CallKind.CREATE, CallKind.UPDATE, CallKind.PAUSE, CallKind.RESUME, CallKind.DELETE})
State = JobRules | None
"""None: there is no such job."""
States = frozenset[State]
NOTHING: States = frozenset({None})


@dataclass(frozen=True, slots=True)
class Step:
    """A change: from `begins_us` on it may hold, from `ends_us` on it does. `states` is what may be after it."""

    call: Call
    begins_us: int
    ends_us: int
    states: States


@dataclass(frozen=True, slots=True)
class Segment:
    """From `begin_us` on and before `end_us` the job was one of `states`."""

    begin_us: int
    end_us: int
    states: States

    @property
    def may_be_paused(self) -> bool:
        """Whether the job was disabled in one of the states."""
        return any(state is not None and not state.is_enabled for state in self.states)


class RulesInForce:
    """The history of one job's rules."""

    def __init__(self, calls: Iterable[Call], limits: Limits, faults: FaultTimes) -> None:
        changes = sorted((call for call in calls if call.kind in CHANGES), key=_order)
        self.steps = [_dated_back(step, faults) for step in _steps(changes, limits)]
        self.segments = _segments(self.steps)
        """What must hold: by these, a run that every state asks for must happen."""
        allowed = [_with_faults(step, limits, faults) for step in self.steps]
        self.allowed = self.segments if allowed == self.steps else _segments(allowed)
        """What may be seen: inside faults an old version lives a lease longer."""
        self.ever: tuple[JobRules, ...] = tuple(
            dict.fromkeys(state for step in self.steps for state in step.states if state is not None)
        )
        """All that the job may ever have been."""

    def states(self, begin_us: int, end_us: int) -> set[State]:
        """All that the job may have been between two moments, both included."""
        found: set[State] = set()
        for segment in self.allowed:
            if segment.begin_us <= end_us and segment.end_us > begin_us:
                found |= segment.states
        return found

    def rules(self, begin_us: int, end_us: int) -> list[JobRules]:
        """The same without `no such job`."""
        return [state for state in self.states(begin_us, end_us) if state is not None]


def _order(call: Call) -> tuple[int, int]:
    return call.sent_us, call.version


def _steps(changes: Sequence[Call], limits: Limits) -> list[Step]:
    steps: list[Step] = []
    version, unsettled, shelved = 0, list[Call](), list[Call]()
    for call in changes:
        if call.outcome is Outcome.UNKNOWN:
            unsettled.append(call)
            steps.append(_unsure(call, call.sent_us, steps, limits))
        elif call.outcome is Outcome.ACKNOWLEDGED:
            if _is_next(call, version):
                shelved += unsettled
                steps = [step for step in steps if step.call not in unsettled]
            elif 0 < version < call.version:  # a call that was not done before the last answer may have been done since
                for late in shelved:
                    steps.append(_unsure(late, steps[-1].call.sent_us, steps, limits))
                shelved = []
            ends_us = _answered(call) + limits.change_us
            states = _after(call, _last(steps))
            steps.append(Step(call, call.sent_us - limits.clock_error_us, ends_us, states))
            unsettled, version = [], _version_after(call, version)
    return steps


def _answered(call: Call) -> int:
    return call.answered_us if call.answered_us is not None else call.sent_us


def _unsure(call: Call, from_us: int, steps: Sequence[Step], limits: Limits) -> Step:
    before = _last(steps)
    return Step(call, from_us - limits.clock_error_us, EVER_US, before | _after(call, before))


def _last(steps: Sequence[Step]) -> States:
    return steps[-1].states if steps else NOTHING


def _is_next(call: Call, version: int) -> bool:
    """Whether the answer shows that nothing was changed since the answer before."""
    return 0 < version == call.version - 1 and call.kind is not CallKind.CREATE


def _version_after(call: Call, version: int) -> int:
    if call.kind is CallKind.DELETE:
        return 0
    return call.version


def _after(call: Call, states: States) -> States:
    """What the job may be after a call, from what it may have been before."""
    return frozenset(_applied(call, state) for state in states)


def _applied(call: Call, state: State) -> State:
    is_sure = call.outcome is Outcome.ACKNOWLEDGED
    match call.kind:
        case CallKind.DELETE:
            return None
        case CallKind.CREATE:
            return call.rules if state is None or is_sure else state
        case CallKind.PAUSE | CallKind.RESUME if state is not None:
            return replace(state, is_enabled=call.kind is CallKind.RESUME)
        case _ if call.rules is None or (state is None and not is_sure):
            return state
        case _:
            created_us = call.rules.created_us or (state.created_us if state is not None else 0)
            return replace(call.rules, created_us=created_us)


def _segments(steps: Sequence[Step]) -> list[Segment]:
    """Joins the steps: at each moment, from the last that holds to the last that may hold."""
    if not steps:
        return [Segment(-EVER_US, EVER_US, NOTHING)]
    moments = sorted({step.begins_us for step in steps} | {step.ends_us for step in steps})
    segments = [Segment(-EVER_US, moments[0], NOTHING)]
    for begin_us, end_us in zip(moments, [*moments[1:], EVER_US], strict=True):
        held = max((n for n, step in enumerate(steps) if step.ends_us <= begin_us), default=-1)
        seen = max((n for n, step in enumerate(steps) if step.begins_us <= begin_us), default=-1)
        states = steps[held].states if held >= 0 else NOTHING
        for step in steps[held + 1 : seen + 1]:
            states = states | step.states
        if begin_us < EVER_US:
            segments.append(Segment(begin_us, end_us, states))
    return segments


def _dated_back(step: Step, faults: FaultTimes) -> Step:
    """The same when a clock that is behind may have said when the change was made."""
    return replace(step, begins_us=step.begins_us - faults.clock_behind(step.call.sent_us, _answered(step.call)))


def _with_faults(step: Step, limits: Limits, faults: FaultTimes) -> Step:
    if step.ends_us == EVER_US or not faults.is_near(step.call.sent_us, step.ends_us):
        return step
    return replace(step, ends_us=step.ends_us + limits.lease_us)
