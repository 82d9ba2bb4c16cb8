"""The circuit breaker of one host, as pure steps."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.dispatcher.domain.breaker import Breaker, Pass, Rules, Sign, State, admit, learn
from services.dispatcher.domain.results import Answer, Failure, FailureKind
from services.dispatcher.domain.targets.http_answers import judge

RULES = Rules(failures=3, open_seconds=30, successes=2)


def after(breaker: Breaker, *signs: Sign, how: Pass = Pass.PLAIN, now: float = 0.0) -> Breaker:
    for sign in signs:
        breaker = learn(breaker, how, sign, now=now, error="answered 503", rules=RULES)
    return breaker


OPEN = after(Breaker(), *[Sign.FAILURE] * 3)
PROBING, _ = admit(OPEN, now=30.0)


def test_it_opens_after_so_many_failures_in_a_row() -> None:
    assert after(Breaker(), Sign.FAILURE, Sign.FAILURE).state is State.CLOSED
    assert (OPEN.state, OPEN.failures, OPEN.probe_at, OPEN.last_error) == (State.OPEN, 3, 30.0, "answered 503")


def test_a_success_in_between_starts_the_count_again() -> None:
    assert after(Breaker(), Sign.FAILURE, Sign.FAILURE, Sign.SUCCESS, Sign.FAILURE).failures == 1


def test_an_answer_that_says_nothing_about_health_does_not_count() -> None:
    two = after(Breaker(), Sign.FAILURE, Sign.FAILURE)
    assert after(two, Sign.ANSWERED, Sign.NONE) == two


def test_nothing_goes_out_while_it_is_open() -> None:
    assert admit(OPEN, now=29.9) == (OPEN, None)


def test_after_a_while_one_probe_at_a_time_goes_out() -> None:
    assert (PROBING.state, PROBING.since) == (State.HALF_OPEN, 30.0)
    assert admit(OPEN, now=30.0)[1] is Pass.PROBE
    assert admit(PROBING, now=99.0) == (PROBING, None)


def test_it_closes_after_so_many_successful_probes() -> None:
    once = after(PROBING, Sign.SUCCESS, how=Pass.PROBE)
    assert (once.state, once.successes, once.is_probing) == (State.HALF_OPEN, 1, False)
    again, how = admit(once, now=31.0)
    assert how is Pass.PROBE
    assert after(again, Sign.SUCCESS, how=Pass.PROBE, now=32.0) == Breaker(since=32.0)


def test_a_failed_probe_opens_it_again() -> None:
    opened = after(after(PROBING, Sign.SUCCESS, how=Pass.PROBE), Sign.FAILURE, how=Pass.PROBE, now=40.0)
    assert (opened.state, opened.probe_at, opened.failures, opened.successes) == (State.OPEN, 70.0, 4, 0)


@pytest.mark.parametrize("sign", Sign)
def test_every_end_of_a_probe_frees_its_place(sign: Sign) -> None:
    ended = after(PROBING, sign, how=Pass.PROBE, now=40.0)
    assert not ended.is_probing
    assert admit(ended, now=70.0)[1] is Pass.PROBE


def test_a_host_that_answers_a_probe_at_all_is_there_again() -> None:
    assert after(PROBING, Sign.ANSWERED, how=Pass.PROBE).successes == 1


@pytest.mark.parametrize("sign", Sign)
def test_what_began_before_it_opened_changes_nothing_any_more(sign: Sign) -> None:
    assert after(OPEN, sign) == OPEN
    assert after(PROBING, sign) == PROBING


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (Answer(status_code=200), Sign.SUCCESS),
        (Answer(status_code=302), Sign.SUCCESS),
        (Answer(status_code=404), Sign.ANSWERED),
        (Answer(status_code=408), Sign.ANSWERED),
        (Answer(status_code=429), Sign.FAILURE),
        (Answer(status_code=500), Sign.FAILURE),
        (Failure(kind=FailureKind.NAME, error="x"), Sign.FAILURE),
        (Failure(kind=FailureKind.CONNECT, error="x"), Sign.FAILURE),
        (Failure(kind=FailureKind.TIMEOUT, error="x"), Sign.FAILURE),
        (Failure(kind=FailureKind.BROKEN, error="x"), Sign.FAILURE),
        (Failure(kind=FailureKind.BLOCKED, error="x"), Sign.NONE),
        (Failure(kind=FailureKind.INVALID, error="x"), Sign.NONE),
        (Failure(kind=FailureKind.INTERNAL, error="x"), Sign.NONE),
    ],
)
def test_an_attempt_says_something_about_its_host(result: Answer | Failure, expected: Sign) -> None:
    assert judge(result, frozenset()).sign is expected


def test_a_code_that_a_job_calls_success_is_one() -> None:
    answer = Answer(status_code=503)
    assert judge(answer, frozenset({503})).sign is Sign.SUCCESS


@given(st.lists(st.tuples(st.sampled_from([*Sign, "admit"]), st.floats(0, 40)), max_size=80))
def test_it_never_wedges_and_never_has_two_probes_out(steps: list[tuple[Sign | str, float]]) -> None:
    breaker, now, probes, plain = Breaker(), 0.0, 0, 0
    for step, wait in steps:
        now += wait
        if isinstance(step, Sign):
            if probes:
                probes -= 1
                breaker = learn(breaker, Pass.PROBE, step, now=now, error="x", rules=RULES)
            elif plain:
                plain -= 1
                breaker = learn(breaker, Pass.PLAIN, step, now=now, error="x", rules=RULES)
        else:
            breaker, how = admit(breaker, now=now)
            probes += how is Pass.PROBE
            plain += how is Pass.PLAIN
        assert probes <= 1
        assert breaker.is_probing == bool(probes)
    if probes:
        breaker = learn(breaker, Pass.PROBE, Sign.NONE, now=now, error="", rules=RULES)
    assert admit(breaker, now=now + 30)[1] is not None
