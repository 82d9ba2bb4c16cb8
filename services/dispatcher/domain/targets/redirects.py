"""Which redirects are followed, and what is sent to the place that they name (RFC 9110, section 15.4)."""

from dataclasses import replace

from services.dispatcher.domain.results import Answer
from services.dispatcher.domain.targets.http_options import HttpOptions, Link, Redirects
from services.dispatcher.domain.targets.webhook import HttpRequest

MOST_REDIRECTS = 10
FOLLOWED_CODES = frozenset({301, 302, 303, 307, 308})
BODY_HEADERS = frozenset({"content-type", "content-encoding", "content-language", "content-location"})
# They hold for the body that was signed, and they prove to whoever sees them that we sent it.
SIGNATURES = frozenset({"webhook-signature", "x-qhronos-signature"})


def is_redirect(answer: Answer) -> bool:
    """Whether an answer names another place to ask."""
    return answer.status_code in FOLLOWED_CODES and bool(answer.location)


def may_follow(redirects: Redirects, *, is_same_origin: bool, is_downgrade: bool) -> bool:
    """Whether a redirect may be followed. `is_downgrade` says that it leads from https to http."""
    match redirects:
        case Redirects.NONE:
            return False
        case Redirects.SAME_ORIGIN:
            return is_same_origin
        case Redirects.ANY:
            return not is_downgrade


def redirected(request: HttpRequest, status_code: int, url: str, *, is_same_origin: bool) -> HttpRequest:
    """The request to make at `url` after that answer to this one; `request.options` must be set.

    What only the receiver of the first one may see stays away from another origin: credentials, client certificate,
    signatures. Nor is another origin believed whatever certificate it shows.
    """
    assert request.options is not None
    has_body = _keeps_method(status_code, request.method)
    dropped: set[str] = set()
    if not has_body:
        dropped |= BODY_HEADERS | SIGNATURES
    if not is_same_origin:
        dropped |= SIGNATURES | {name.lower() for name in request.options.secret_headers}
    return replace(
        request,
        method=request.method if has_body else "GET",
        url=url,
        headers={name: value for name, value in request.headers.items() if name.lower() not in dropped},
        body=request.body if has_body else None,
        options=request.options if is_same_origin else _for_strangers(request.options),
    )


def _keeps_method(status_code: int, method: str) -> bool:
    if status_code == 303:
        return method in ("GET", "HEAD")
    return status_code in (307, 308) or method != "POST"


def _for_strangers(options: HttpOptions) -> HttpOptions:
    tls = options.link.tls
    if tls is None:
        return options
    tls = replace(tls, client_cert="", client_key="", is_verified=True)
    return replace(options, link=Link(tls=tls if tls.ca_cert else None, version=options.link.version))
