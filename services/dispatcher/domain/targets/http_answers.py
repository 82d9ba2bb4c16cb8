"""What the answer to an HTTP request means (RFC 9110)."""

import codecs
from collections.abc import Set
from http import HTTPStatus

from services.dispatcher.domain.breaker import Sign
from services.dispatcher.domain.outcome import Verdict, judge_failure
from services.dispatcher.domain.results import Answer, Failure, Result
from services.dispatcher.domain.targets.http_options import Redirects

UTF8 = codecs.getincrementaldecoder("utf-8")
RETRYABLE_CODES = frozenset({408, 425, 429})
SUCCESS_CODES = frozenset(range(200, 300))
UNFOLLOWED = {
    Redirects.NONE: "redirects are not followed",
    Redirects.SAME_ORIGIN: "redirects are followed within the URL's origin only",
    Redirects.ANY: "redirects are followed with a Location only, and not from https to http",
}


def judge(result: Result, success_codes: Set[int], redirects: Redirects = Redirects.NONE) -> Verdict:
    """The verdict on an attempt. `success_codes` that are empty mean 200 to 299, `redirects` are those followed."""
    if isinstance(result, Failure):
        return judge_failure(result)
    if not isinstance(result, Answer):
        raise TypeError(f"an HTTP request was answered with {type(result).__name__}")
    code = result.status_code
    is_success = code in (success_codes or SUCCESS_CODES) and not result.longest_bytes
    return Verdict(
        is_success=is_success,
        is_retryable=not is_success and is_retryable(code) and not result.longest_bytes,
        status_code=code,
        response=_text(result.body, is_truncated=result.is_truncated) if result.body else "",
        is_response_truncated=result.is_truncated,
        error="" if is_success else _describe(result, redirects),
        retry_after=result.retry_after,
        sign=_sign(code, is_success=is_success),
    )


def is_retryable(status_code: int) -> bool:
    """Whether an endpoint that answers so may do better in a while: 5xx, 408, 425 and 429."""
    return status_code >= 500 or status_code in RETRYABLE_CODES


def _sign(code: int, *, is_success: bool) -> Sign:
    if is_success or code < 400:
        return Sign.SUCCESS
    return Sign.FAILURE if code >= 500 or code == 429 else Sign.ANSWERED


def _text(body: bytes, *, is_truncated: bool) -> str:
    # Where the body was cut in the middle of a character, its first bytes are left out rather than marked as wrong.
    text = UTF8(errors="replace").decode(body, final=not is_truncated)
    return text.replace("\x00", "\N{REPLACEMENT CHARACTER}")


def _describe(answer: Answer, redirects: Redirects) -> str:
    code = answer.status_code
    if answer.longest_bytes:
        return f"answered {_name(code)} with more than {answer.longest_bytes:,} bytes; let it answer with less"
    if 300 <= code < 400:
        where = f" to {answer.location}" if answer.location else ""
        return f"answered {_name(code)}{where}; {UNFOLLOWED[redirects]}: give the final address as the URL"
    if code in SUCCESS_CODES:
        return f"answered {_name(code)}, which is not among the job's success codes"
    return f"answered {_name(code)}"


def _name(code: int) -> str:
    try:
        return f"{code} {HTTPStatus(code).phrase}"
    except ValueError:
        return str(code)
