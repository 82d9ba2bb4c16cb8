"""Why a job ran or did not run at a time: the verdict, from all that is known about it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from services.scheduler.domain.evidence import Account, Case, InForce, Pause
from services.scheduler.domain.reasons import moment_text, reason_sentence

ON_ITS_WAY = timedelta(minutes=2)
REMOVAL_REASONS = frozenset({"CALENDAR", "WINDOW", "DST"})
CAUSES = {
    "MANUAL": "a call of TriggerJob",
    "DEPENDENCY": "the end of a run that it depends on",
    "BACKFILL": "a backfill",
    "REPLAY": "a replay",
}


class Verdict(StrEnum):
    """What happened, in a word."""

    RAN = "ran"
    SKIPPED = "skipped"
    NOT_DUE = "not_due"
    DISABLED = "disabled"
    NOT_THERE = "not_there"
    NOT_YET = "not_yet"
    PENDING = "pending"
    UNKNOWN = "unknown"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """The verdict, the answer in a sentence, and what it rests on, in order of importance."""

    verdict: Verdict
    summary: str
    facts: Sequence[str]


def explain(case: Case) -> Explanation:
    """Decides what happened."""
    verdict, summary = _decide(case)
    return Explanation(
        verdict=verdict, summary=f"{summary[0].upper()}{summary[1:]}.", facts=list(_facts(case, verdict))
    )


def _decide(case: Case) -> tuple[Verdict, str]:
    when = moment_text(case.due_at or case.at, case.zone)
    if case.at < case.created_at:
        made = moment_text(case.created_at, case.zone)
        return Verdict.NOT_THERE, f"there was no such job at {when}; it was created at {made}"
    if case.account is not None:
        return _recorded(case.account, case.zone)
    if (case.due_at or case.at) > case.now:
        return Verdict.NOT_YET, f"{when} has not come yet; {_expectation(case)}"
    if case.in_force is None:
        return Verdict.UNKNOWN, f"no version of the job from before {when} is kept, and the ledger has no run of then"
    return _unrecorded(case, case.in_force, when)


def _unrecorded(case: Case, in_force: InForce, when: str) -> tuple[Verdict, str]:
    is_meant = case.due_at is not None or bool(case.removed)
    if not in_force.is_enabled and (is_meant or not in_force.schedule):
        return Verdict.DISABLED, f"the job was disabled at {when}"
    if case.removed:
        return Verdict.REMOVED, f"the run of {when} was taken away: {case.removed}"
    if case.problem:
        return Verdict.UNKNOWN, f"the schedule that was in force at {when} cannot be read any more: {case.problem}"
    if not in_force.schedule:
        return Verdict.NOT_DUE, f"the job has no schedule, {case.runs_after or 'and runs only when asked for'}"
    if case.due_at is None:
        return Verdict.NOT_DUE, f"the schedule has no run at {when}"
    if case.now - case.due_at < ON_ITS_WAY:
        return Verdict.PENDING, f"the run of {when} is due, and on its way"
    return Verdict.UNKNOWN, f"the job was due at {when}, and the ledger knows nothing about it (any more)"


def _recorded(account: Account, zone: ZoneInfo) -> tuple[Verdict, str]:
    run = f"the run of {moment_text(account.scheduled_at, zone)}"
    if account.skipped_until is not None:
        last = moment_text(account.skipped_until, zone)
        run = f"the runs from {moment_text(account.scheduled_at, zone)} to {last}"
    why = reason_sentence(account.reason_code, account.reason)
    match account.status:
        case "PENDING":
            return Verdict.PENDING, f"{run} is promised, and waits for its start"
        case "RUNNING" if account.reason_code == "ACCEPTED":
            return Verdict.PENDING, f"{run} was delivered; {why}"
        case "RUNNING":
            return Verdict.PENDING, f"{run} is under way"
        case "SUCCESS":
            return Verdict.RAN, f"{run} succeeded"
        case "FAILED" | "TIMED_OUT" | "LOST":
            return Verdict.RAN, f"{run} {_failure(account)}"
        case "CANCELLED" if account.started_at is not None:
            return Verdict.RAN, f"{run} was begun, and stopped: {why}"
    if account.reason_code == "PAUSED":
        return Verdict.DISABLED, f"{run} did not happen: {why}"
    if account.reason_code in REMOVAL_REASONS:
        return Verdict.REMOVED, f"{run} did not happen: {why}"
    return Verdict.SKIPPED, f"{run} {_verb(account)} skipped: {why}"


def _verb(account: Account) -> str:
    return "were" if account.skipped_until is not None else "was"


def _failure(account: Account) -> str:
    if account.status == "LOST":
        return f"began, and nobody knows how it ended: {reason_sentence(account.reason_code, account.reason)}"
    words = "timed out" if account.status == "TIMED_OUT" else "failed"
    why = account.error or account.reason
    if account.reason_code:
        why = reason_sentence(account.reason_code, account.reason or account.error)
    return f"{words}: {why}" if why else words


def _expectation(case: Case) -> str:
    if case.in_force is not None and not case.in_force.is_enabled:
        return "the job is disabled, and does not run then unless it is enabled"
    if case.problem:
        return f"when the job is due cannot be told: {case.problem}"
    if case.removed:
        return f"the run of then is taken away: {case.removed}"
    return "the job is due then" if case.due_at is not None else "the job is not due then"


def _facts(case: Case, verdict: Verdict) -> Iterator[str]:
    if verdict is Verdict.NOT_THERE:
        return
    if case.account is not None:
        yield _account_fact(case.account, case.zone)
    if case.pause is not None:
        yield _pause_fact(case.pause, case.zone)
    if case.in_force is not None:
        yield from _schedule_facts(case, case.in_force)
        certainty = "was in force" if case.in_force.is_certain else "is the last known from before"
        made = moment_text(case.in_force.made_at, case.zone)
        yield f"version {case.in_force.number} {certainty}, made {made}{_by(case.in_force.author)}"
    for other in case.others:
        yield f"near that time: {_account_fact(other, case.zone)}"
    if verdict is Verdict.UNKNOWN and not case.problem:
        yield "executions age out of the ledger after a while, and come into it late when history is away"


def _schedule_facts(case: Case, in_force: InForce) -> Iterator[str]:
    if not in_force.schedule:
        yield f"it has no schedule, {case.runs_after or 'and runs only when asked for'}"
        return
    name = f'the schedule "{in_force.schedule}" ({in_force.description})'
    if case.due_at is not None:
        yield f"{name} has a run at {moment_text(case.due_at, case.zone)}"
        yield from case.notes
    elif case.problem:
        yield f"{name} cannot be read any more: {case.problem}"
    elif case.removed:
        yield f"{name} would have a run at {moment_text(case.at, case.zone)}, if that were not so"
    else:
        yield f"{name} has no run at {moment_text(case.at, case.zone)}{_nearest(case)}"
        yield from case.notes


def _nearest(case: Case) -> str:
    near = [moment_text(moment, case.zone) for moment in (case.previous, case.following) if moment is not None]
    if len(near) == 2:
        return f"; the nearest are {near[0]} and {near[1]}"
    if case.previous is not None:
        return f"; the last one before was {near[0]}, and none comes after"
    return f"; the first one is {near[0]}" if near else "; it has no runs at all then"


def _pause_fact(pause: Pause, zone: ZoneInfo) -> str:
    since = moment_text(pause.since, zone)
    until = " on"
    if pause.until is not None:
        until = f" to {moment_text(pause.until, zone)}, when it was enabled{_by(pause.until_author)}"
    return f"it was disabled{_by(pause.author)} (version {pause.version}) from {since}{until}"


def _account_fact(account: Account, zone: ZoneInfo) -> str:
    due = moment_text(account.scheduled_at, zone)
    words = [f"the ledger has the run of {due}: {account.status}"]
    if account.skipped_until is not None:
        last = moment_text(account.skipped_until, zone)
        words = [f"the ledger has {account.skipped_count} runs from {due} to {last}: {account.status}"]
    if account.cause in CAUSES:
        words.append(f"asked for by {CAUSES[account.cause]}{_by(account.actor)}")
    if account.started_at is not None:
        words.append(f"started {moment_text(account.started_at, zone)}")
    if account.completed_at is not None and account.started_at is not None:
        words.append(f"ended {moment_text(account.completed_at, zone)}")
    if account.attempts:
        words.append(f"{account.attempts} attempt{'s' if account.attempts > 1 else ''}")
    if account.status_code:
        words.append(f"status code {account.status_code}")
    if account.error:
        words.append(account.error)
    return ", ".join(words)


def _by(author: str) -> str:
    return f" by {author}" if author else ""
