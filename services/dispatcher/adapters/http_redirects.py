"""Redirects followed one by one, so that each place is checked before anything is sent there."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta

from services.dispatcher.adapters.http_errors import Endpoint, describe_timeout
from services.dispatcher.domain.results import Answer, Failure, FailureKind
from services.dispatcher.domain.targets.http_options import HttpOptions, Redirects
from services.dispatcher.domain.targets.redirects import MOST_REDIRECTS, is_redirect, may_follow, redirected
from services.dispatcher.domain.targets.webhook import HttpRequest

# After the first answer, that nothing had an effect is no longer certain: only BROKEN and TIMEOUT say so.
_AFTER_AN_ANSWER = dict.fromkeys((FailureKind.NAME, FailureKind.CONNECT, FailureKind.TLS), FailureKind.BROKEN)

Send = Callable[[HttpRequest], Awaitable[Answer | Failure]]


async def follow(send: Send, request: HttpRequest, options: HttpOptions) -> Answer | Failure:
    """The answer at the end of the redirects that the options allow, all within the request's timeout.

    An answer that may not be followed is the answer. `send` follows none.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + request.timeout.total_seconds()
    current = replace(request, options=replace(options, redirects=Redirects.NONE))
    result = await send(current)
    for _ in range(MOST_REDIRECTS):
        if isinstance(result, Failure) or not is_redirect(result):
            return result
        following = _following(current, result, options.redirects)
        if following is None or isinstance(following, Failure):
            return following or result
        remaining = deadline - loop.time()
        if remaining <= 0:
            return describe_timeout(request.timeout)
        current = replace(following, timeout=timedelta(seconds=remaining))
        result = await send(current)
        if isinstance(result, Failure):
            return _redirected_failure(result, request.timeout)
    if isinstance(result, Answer) and is_redirect(result):
        error = (
            f"more than {MOST_REDIRECTS} redirects, the last to {result.location}; give the final address as the URL"
        )
        return Failure(kind=FailureKind.INVALID, error=error)
    return result


def _following(request: HttpRequest, answer: Answer, redirects: Redirects) -> HttpRequest | Failure | None:
    # The client's own reading of URLs decides what the same origin is: another one could be led astray.
    origin = Endpoint.of(request.url).url
    try:
        url = origin.join(answer.location)
        Endpoint.of(str(url))
    except ValueError as error:
        return Failure(
            kind=FailureKind.INVALID, error=f"answered {answer.status_code} to {answer.location}, no URL: {error}"
        )
    is_same_origin = url.origin_ascii == origin.origin_ascii
    is_downgrade = origin.scheme == "https" and url.scheme == "http"
    if not may_follow(redirects, is_same_origin=is_same_origin, is_downgrade=is_downgrade):
        return None
    return redirected(request, answer.status_code, str(url), is_same_origin=is_same_origin)


def _redirected_failure(failure: Failure, timeout: timedelta) -> Failure:
    if failure.kind is FailureKind.TIMEOUT:
        return describe_timeout(timeout)
    kind = _AFTER_AN_ANSWER.get(failure.kind, failure.kind)
    return replace(failure, kind=kind, error=f"after a redirect: {failure.error}")
