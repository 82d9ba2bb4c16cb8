"""When a job runs that depends on others. A round takes the oldest unused end of each of them.

Moments are Unix microseconds. Nothing here looks at a clock or at the order in which news of different jobs arrive:
the ends of one job come in their order, and the same ends always lead to the same decisions.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

from libs.durations import format_duration
from services.scheduler.domain.identity import execution_id, moment_of

MOST_PENDING = 1000
MOST_DECISIONS = 50
MOST_SEEN = 100
# How much later than it happened an end may be heard of and still be known as waived.
LATEST_NEWS_US = 3_600_000_000


class Condition(StrEnum):
    """What must have become of the others."""

    ALL_SUCCESS = "all_success"
    ALL_COMPLETE = "all_complete"
    ANY_SUCCESS = "any_success"
    ANY_COMPLETE = "any_complete"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Which jobs a job runs after, what must have become of them, and how long a round waits after its first end."""

    parents: frozenset[str]
    condition: Condition = Condition.ALL_SUCCESS
    timeout_us: int = 86_400_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """A run of a parent has ended. `outcome` is a word for people."""

    parent: str
    execution_id: str
    is_success: bool
    outcome: str
    ended_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Waived:
    """An end that a round was decided without. One after `until_us` counts again."""

    parent: str
    until_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rounds:
    """What a job has heard of its parents: unused ends (oldest first), ends to ignore, executions heard of before."""

    ends: tuple[End, ...] = ()
    waived: tuple[Waived, ...] = ()
    seen: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The job runs or, if there is a `reason`, does not. `ends` led to it; `at_us` is when it was due."""

    ends: tuple[End, ...]
    at_us: int
    reason: str = ""

    @property
    def is_fired(self) -> bool:
        """Whether the job runs."""
        return not self.reason


@dataclass(slots=True)
class _Draft:
    """Rounds while they are worked on."""

    ends: list[End]
    waived: list[Waived]
    seen: list[str]
    decisions: list[Decision] = field(default_factory=list)


def advance(
    rounds: Rounds, rule: Rule, news: Sequence[End], *, now_us: int, most: int = MOST_DECISIONS
) -> tuple[Rounds, list[Decision]]:
    """Takes news in, and gives what is decided by now: by the news, by a change of the rule, or because time is over.

    An end that was taken in before changes nothing. After `most` decisions the others wait for the next call.
    """
    draft = _Draft(
        ends=[end for end in rounds.ends if end.parent in rule.parents],
        waived=[waived for waived in rounds.waived if waived.parent in rule.parents],
        seen=list(rounds.seen),
    )
    known = {*rounds.seen, *(end.execution_id for end in rounds.ends)}
    for end in news:
        if end.execution_id not in known:
            known.add(end.execution_id)
            _take(draft, rule, end)
        while len(draft.decisions) < most and _decide_first(draft, rule, now_us=None):
            pass
    while len(draft.decisions) < most and _decide_first(draft, rule, now_us=now_us):
        pass
    waived = [waived for waived in draft.waived if waived.until_us + LATEST_NEWS_US > now_us]
    return (
        Rounds(ends=tuple(draft.ends), waived=tuple(waived[-MOST_PENDING:]), seen=tuple(draft.seen[-MOST_SEEN:])),
        draft.decisions,
    )


def decided_id(job_uid: str, decision: Decision) -> str:
    """The execution id of the run that a decision is about: the same whenever it comes out again."""
    return execution_id("/".join([job_uid, *sorted(end.execution_id for end in decision.ends)]), decision.at_us)


def deadline_us(rounds: Rounds, rule: Rule) -> int | None:
    """When the present round closes; None when none has begun."""
    members = _members(rounds.ends, rule)
    return min(end.ended_us for end in members) + rule.timeout_us if members else None


def _take(draft: _Draft, rule: Rule, end: End) -> None:
    if end.parent not in rule.parents:
        draft.seen.append(end.execution_id)
        return
    for waived in draft.waived:
        if waived.parent == end.parent and end.ended_us <= waived.until_us:
            draft.waived.remove(waived)
            draft.seen.append(end.execution_id)
            return
    draft.ends.append(end)


def _decide_first(draft: _Draft, rule: Rule, *, now_us: int | None) -> bool:
    """Decides the oldest round if that is possible; `now_us` None leaves out what only time decides."""
    members = _members(draft.ends, rule)
    if not members:
        return False
    deadline = min(end.ended_us for end in members) + rule.timeout_us
    decision = _decision(rule, members)
    if decision is None and now_us is not None and now_us >= deadline:
        decision = Decision(ends=members, at_us=deadline, reason=_timeout_reason(rule, members))
    if decision is None and len(draft.ends) > MOST_PENDING:
        decision = Decision(ends=members, at_us=_latest_us(members), reason=_crowd_reason(rule, members))
    if decision is None:
        return False
    _close(draft, rule, members, decision, deadline)
    return True


def _close(draft: _Draft, rule: Rule, members: tuple[End, ...], decision: Decision, deadline: int) -> None:
    draft.decisions.append(decision)
    draft.ends = [end for end in draft.ends if end not in members]
    draft.seen += [end.execution_id for end in members]
    if decision.at_us < deadline:
        missing = rule.parents - {end.parent for end in members}
        draft.waived += [Waived(parent=parent, until_us=deadline) for parent in sorted(missing)]


def _members(ends: Iterable[End], rule: Rule) -> tuple[End, ...]:
    """The ends that make up the oldest round: the oldest of each parent, if it is within the round's time."""
    heads: dict[str, End] = {}
    for end in ends:
        if end.parent in rule.parents:
            heads.setdefault(end.parent, end)
    deadline = min((end.ended_us for end in heads.values()), default=0) + rule.timeout_us
    return tuple(end for end in heads.values() if end.ended_us <= deadline)


def _decision(rule: Rule, members: Sequence[End]) -> Decision | None:
    ends, is_complete = tuple(members), len(members) == len(rule.parents)
    at_us = _latest_us(members)
    failed = next((end for end in members if not end.is_success), None)
    succeeded = next((end for end in members if end.is_success), None)
    is_fired = {
        Condition.ALL_SUCCESS: is_complete and failed is None,
        Condition.ALL_COMPLETE: is_complete,
        Condition.ANY_SUCCESS: succeeded is not None,
        Condition.ANY_COMPLETE: True,
    }[rule.condition]
    if is_fired:
        return Decision(ends=ends, at_us=at_us)
    if rule.condition is Condition.ALL_SUCCESS and failed is not None:
        return Decision(ends=ends, at_us=at_us, reason=_failure_reason(failed))
    if rule.condition is Condition.ANY_SUCCESS and is_complete and failed is not None:
        reason = f"none of the jobs that it depends on succeeded: {_told(failed)}"
        return Decision(ends=ends, at_us=at_us, reason=reason)
    return None


def _failure_reason(end: End) -> str:
    return f"a job that it depends on did not succeed: {_told(end)}"


def _crowd_reason(rule: Rule, members: Sequence[End]) -> str:
    return (
        f"{_missing(rule, members)} did not end while more than {MOST_PENDING:,} runs of the other jobs that it "
        "depends on did; let it depend on jobs that run as often as each other"
    )


def _timeout_reason(rule: Rule, members: Sequence[End]) -> str:
    first = min(members, key=lambda end: end.ended_us)
    patience = format_duration(timedelta(microseconds=rule.timeout_us))
    return (
        f"{_missing(rule, members)} did not end within {patience} after {first.parent}, "
        f"whose run {first.execution_id} ended at {moment_of(first.ended_us).isoformat()}"
    )


def _latest_us(members: Sequence[End]) -> int:
    return max(end.ended_us for end in members)


def _missing(rule: Rule, members: Sequence[End]) -> str:
    return ", ".join(sorted(rule.parents - {end.parent for end in members}))


def _told(end: End) -> str:
    return f"{end.parent} ended as {end.outcome} (run {end.execution_id})"
