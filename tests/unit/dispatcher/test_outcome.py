import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.dispatcher.domain.results import Answer, Failure, FailureKind
from services.dispatcher.domain.targets.http_answers import judge


@pytest.mark.parametrize(
    ("code", "is_success", "is_retryable"),
    [
        (200, True, False),
        (204, True, False),
        (299, True, False),
        (302, False, False),
        (304, False, False),
        (400, False, False),
        (404, False, False),
        (408, False, True),
        (425, False, True),
        (429, False, True),
        (500, False, True),
        (503, False, True),
        (599, False, True),
    ],
)
def test_a_status_code_is_success_or_retried_or_final(code: int, is_success: bool, is_retryable: bool) -> None:
    verdict = judge(Answer(status_code=code), frozenset())
    assert (verdict.is_success, verdict.is_retryable, verdict.status_code) == (is_success, is_retryable, code)


def test_the_jobs_own_success_codes_replace_the_usual_ones() -> None:
    codes = frozenset({302, 404, 500})
    assert all(judge(Answer(status_code=code), codes).is_success for code in codes)
    refused = judge(Answer(status_code=200), codes)
    assert not refused.is_success
    assert refused.error == "answered 200 OK, which is not among the job's success codes"


@pytest.mark.parametrize(
    ("kind", "is_retryable"),
    [
        (FailureKind.CONNECT, True),
        (FailureKind.NAME, True),
        (FailureKind.BROKEN, True),
        (FailureKind.TIMEOUT, True),
        (FailureKind.TLS, True),
        (FailureKind.INTERNAL, True),
        (FailureKind.CERTIFICATE, False),
        (FailureKind.BLOCKED, False),
        (FailureKind.INVALID, False),
    ],
)
def test_only_failures_that_may_mend_are_retried(kind: FailureKind, is_retryable: bool) -> None:
    verdict = judge(Failure(kind=kind, error="because"), frozenset())
    assert (verdict.is_success, verdict.is_retryable, verdict.error) == (False, is_retryable, "because")
    assert verdict.is_timeout == (kind is FailureKind.TIMEOUT)


def test_a_redirect_says_where_to_and_what_to_do() -> None:
    verdict = judge(Answer(status_code=301, location="https://new.example/"), frozenset())
    assert verdict.error == (
        "answered 301 Moved Permanently to https://new.example/; redirects are not followed: "
        "give the final address as the URL"
    )


def test_a_response_is_made_valid_text() -> None:
    assert judge(Answer(status_code=200, body=b"a\xff\x00b"), frozenset()).response == "a\ufffd\ufffdb"


def test_a_cut_inside_a_character_leaves_no_wrong_character() -> None:
    cut = "grün".encode()[:3]
    assert judge(Answer(status_code=200, body=cut, is_truncated=True), frozenset()).response == "gr"
    assert judge(Answer(status_code=200, body=cut), frozenset()).response == "gr\ufffd"


@given(body=st.binary(), code=st.integers(100, 999), is_truncated=st.booleans())
def test_any_answer_can_be_judged_and_stored(body: bytes, code: int, is_truncated: bool) -> None:
    verdict = judge(Answer(status_code=code, body=body, is_truncated=is_truncated), frozenset())
    assert "\x00" not in verdict.response.encode().decode()
    assert bool(verdict.error) != verdict.is_success
