"""How long something may be wrong before it is a finding."""

from datetime import UTC, datetime, timedelta

import pytest

from services.scheduler.domain.invariants import (
    MOST_FINDINGS,
    MOST_OF_A_KIND,
    Finding,
    Kind,
    RetryRules,
    Suspicion,
    Suspicions,
    differences,
    longest_run,
)

START = datetime(2026, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def suspicion(subject: str = "shard 7", *, progress: int = 0, since: datetime | None = None) -> Suspicion:
    return Suspicion(
        kind=Kind.BACKLOG,
        subject=subject,
        message="it stands still",
        fix="push it",
        patience=10 * SECOND,
        progress=progress,
        since=since,
    )


def at(suspicions: Suspicions, second: float, *found: Suspicion) -> list[Finding]:
    return suspicions.judge(found, now=START + second * SECOND, elapsed=second)


def test_a_suspicion_becomes_a_finding_when_it_lasts() -> None:
    suspicions = Suspicions()
    assert at(suspicions, 0, suspicion()) == []
    assert at(suspicions, 9, suspicion()) == []
    (finding,) = at(suspicions, 10, suspicion())
    assert finding.since == START
    assert at(suspicions, 11) == []


def test_what_stopped_meanwhile_begins_anew() -> None:
    suspicions = Suspicions()
    at(suspicions, 0, suspicion())
    at(suspicions, 5)
    assert at(suspicions, 10, suspicion()) == []


def test_progress_begins_the_time_anew() -> None:
    suspicions = Suspicions()
    at(suspicions, 0, suspicion(progress=1))
    assert at(suspicions, 10, suspicion(progress=2)) == []
    assert len(at(suspicions, 20, suspicion(progress=2))) == 1


def test_a_clock_that_is_set_does_not_hasten_a_finding() -> None:
    suspicions = Suspicions()
    at(suspicions, 0, suspicion())
    assert suspicions.judge([suspicion()], now=START + timedelta(days=1), elapsed=5) == []


def test_a_known_begin_is_told_instead_of_the_first_look() -> None:
    suspicions, since = Suspicions(), START - timedelta(hours=1)
    at(suspicions, 0, suspicion(since=since))
    (finding,) = at(suspicions, 10, suspicion(since=since))
    assert finding.since == since


def test_findings_are_bounded_and_the_oldest_are_kept() -> None:
    suspicions = Suspicions()
    many = [
        Suspicion(kind=kind, subject=f"{n:03}", message="", fix="", since=START - n * SECOND)
        for kind in Kind
        for n in range(50)
    ]
    findings = at(suspicions, 0, *many)
    assert len(findings) == MOST_FINDINGS
    assert sum(1 for finding in findings if finding.kind is Kind.STUCK) <= MOST_OF_A_KIND
    assert findings[0].subject == "049"


def test_only_what_came_and_what_went_is_told() -> None:
    suspicions = Suspicions()
    at(suspicions, 0, suspicion("a"), suspicion("b"))
    before = at(suspicions, 10, suspicion("a"), suspicion("b"))
    at(suspicions, 11, suspicion("b"), suspicion("c"))
    after = at(suspicions, 30, suspicion("b"), suspicion("c"))
    new, gone = differences(before, after)
    assert ([each.subject for each in new], [each.subject for each in gone]) == (["c"], ["a"])


@pytest.mark.parametrize(
    ("attempts", "longest"),
    [(1, 10), (2, 10 + 1 + 10), (3, 3 * 10 + 1 + 3), (5, 5 * 10 + 1 + 3 + 5 + 5)],
)
def test_a_run_may_take_all_its_attempts_and_waits(attempts: int, longest: int) -> None:
    rules = RetryRules(
        timeout=10 * SECOND, max_attempts=attempts, initial_interval=SECOND, max_interval=5 * SECOND, multiplier=3
    )
    assert longest_run(rules) == longest * SECOND
