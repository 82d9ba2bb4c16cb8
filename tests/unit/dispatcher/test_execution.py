from datetime import UTC, datetime, timedelta

from services.dispatcher.domain.execution import Attempt, Progress, Status, begin_attempt, end_attempt, resume
from services.dispatcher.domain.results import Answer, Failure, FailureKind
from services.dispatcher.domain.targets.http_answers import judge

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
GOOD = judge(Answer(status_code=200), frozenset())
BAD = judge(Answer(status_code=503), frozenset())
SLOW = judge(Failure(kind=FailureKind.TIMEOUT, error="timed out after 1s"), frozenset())


def test_an_execution_that_succeeds_at_once() -> None:
    begun = begin_attempt(Progress(), now=NOW)
    assert (begun.status, begun.begun_count, begun.started_at) == (Status.RUNNING, 1, NOW)
    ended = end_attempt(begun, GOOD, duration=SECOND, wait=None)
    assert (ended.status, ended.completed_at, ended.is_final) == (Status.SUCCESS, NOW + SECOND, True)
    assert ended.attempts == (Attempt(number=1, started_at=NOW, duration=SECOND, status_code=200),)


def test_a_failed_attempt_says_when_the_next_one_is_due() -> None:
    waiting = end_attempt(begin_attempt(Progress(), now=NOW), BAD, duration=SECOND, wait=5 * SECOND)
    assert (waiting.status, waiting.completed_at) == (Status.RUNNING, None)
    assert waiting.attempts[0].retry_at == NOW + 6 * SECOND
    again = begin_attempt(waiting, now=NOW + 6 * SECOND)
    assert (again.begun_count, again.started_at) == (2, NOW)


def test_the_last_attempt_decides_between_failed_and_timed_out() -> None:
    begun = begin_attempt(Progress(), now=NOW)
    assert end_attempt(begun, BAD, duration=SECOND, wait=None).status is Status.FAILED
    assert end_attempt(begun, SLOW, duration=SECOND, wait=None).status is Status.TIMED_OUT


def test_attempts_of_earlier_deliveries_count() -> None:
    earlier = (Attempt(number=1, started_at=NOW, duration=SECOND, error="lost"),)
    begun = begin_attempt(resume(earlier), now=NOW + 9 * SECOND)
    assert (begun.begun_count, begun.started_at) == (2, NOW)
    ended = end_attempt(begun, GOOD, duration=SECOND, wait=None)
    assert [attempt.number for attempt in ended.attempts] == [1, 2]


def test_an_overlong_error_is_cut() -> None:
    verdict = judge(Failure(kind=FailureKind.CONNECT, error="x" * 5000), frozenset())
    ended = end_attempt(begin_attempt(Progress(), now=NOW), verdict, duration=SECOND, wait=None)
    assert len(ended.attempts[0].error) == 1024
