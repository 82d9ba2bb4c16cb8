"""What a webhook asks for beyond a plain request: how that is read, and what it means for redirects."""

from datetime import timedelta

import pytest
from chronos.scheduler.v1 import target_pb2

from services.dispatcher.convert_targets.webhook import read_webhook
from services.dispatcher.domain.contract import Contract
from services.dispatcher.domain.results import Answer
from services.dispatcher.domain.targets.http_answers import judge
from services.dispatcher.domain.targets.http_options import HttpOptions, HttpVersion, Link, Redirects
from services.dispatcher.domain.targets.redirects import is_redirect, may_follow, redirected
from services.dispatcher.domain.targets.tls import Tls
from services.dispatcher.domain.targets.webhook import HttpRequest, WebhookPlan

Webhook = target_pb2.WebhookTarget
TIMEOUT = timedelta(seconds=30)
URL = "https://example.com/"


def read(**fields: object) -> WebhookPlan:
    webhook = Webhook(url=URL, **fields)  # type: ignore[arg-type]
    return read_webhook(webhook, timeout=TIMEOUT, contract=Contract(), user_agent="Chronos/1")


def make_request(method: str = "POST", tls: Tls | None = None) -> HttpRequest:
    headers = {"Authorization": "Bearer t", "Content-Type": "text/csv", "Webhook-Signature": "v1,a", "X-Team": "a"}
    options = HttpOptions(link=Link(tls=tls), redirects=Redirects.ANY, secret_headers=frozenset({"Authorization"}))
    return HttpRequest(method=method, url=URL, headers=headers, body=b"a,b", timeout=TIMEOUT, options=options)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"http_version": Webhook.AUTO, "redirects": Webhook.NONE},
        {"http_version": Webhook.HTTP_1_1},
        {"tls": {"enabled": True}},
    ],
)
def test_what_asks_for_nothing_special_is_a_plain_request(fields: dict[str, object]) -> None:
    assert read(**fields).options is None


def test_options_are_read() -> None:
    tls = {"ca_cert": "ca", "client_cert": "cert", "client_key": "key", "insecure_skip_verify": True}
    plan = read(
        tls=tls, http_version=Webhook.HTTP_2, redirects=Webhook.SAME_ORIGIN, auth={"bearer": {"token": "s3cret"}}
    )
    assert plan.options == HttpOptions(
        link=Link(
            tls=Tls(ca_cert="ca", client_cert="cert", client_key="key", is_verified=False), version=HttpVersion.HTTP_2
        ),
        redirects=Redirects.SAME_ORIGIN,
        secret_headers=frozenset({"Authorization"}),
    )
    assert read(redirects=Webhook.ANY).options == HttpOptions(redirects=Redirects.ANY)


def test_equal_tls_options_share_connections_whether_enabled_is_spelt_out() -> None:
    spelt, implied = read(tls={"enabled": True, "ca_cert": "ca"}).options, read(tls={"ca_cert": "ca"}).options
    assert spelt == implied
    assert spelt is not None
    assert hash(spelt.link) == hash(implied.link if implied else None)


def test_the_key_is_not_shown_and_counts_for_memory() -> None:
    plan = read(tls={"client_cert": "c" * 100, "client_key": "s3cret"})
    assert "s3cret" not in f"{plan} {plan.options} {plan.shown}"
    assert plan.weight == read().weight + 106


@pytest.mark.parametrize(
    ("redirects", "is_same_origin", "is_downgrade", "expected"),
    [
        (Redirects.NONE, True, False, False),
        (Redirects.SAME_ORIGIN, True, False, True),
        (Redirects.SAME_ORIGIN, False, False, False),
        (Redirects.ANY, True, False, True),
        (Redirects.ANY, False, False, True),
        (Redirects.ANY, False, True, False),
    ],
)
def test_where_redirects_may_lead(
    redirects: Redirects, is_same_origin: bool, is_downgrade: bool, expected: bool
) -> None:
    assert may_follow(redirects, is_same_origin=is_same_origin, is_downgrade=is_downgrade) is expected


@pytest.mark.parametrize("code", [300, 304, 305, 306, 200, 404])
def test_other_codes_are_no_redirects(code: int) -> None:
    assert not is_redirect(Answer(status_code=code, location="/there"))


def test_a_redirect_needs_a_place_to_go() -> None:
    assert not is_redirect(Answer(status_code=302))
    assert is_redirect(Answer(status_code=302, location="/there"))


def test_within_the_origin_everything_goes_along() -> None:
    request = make_request()
    following = redirected(request, 307, "https://example.com/new", is_same_origin=True)
    assert (following.url, following.headers, following.body) == (
        "https://example.com/new",
        request.headers,
        request.body,
    )
    assert following.options == request.options


def test_a_post_becomes_a_get_without_a_body_and_its_signature() -> None:
    following = redirected(make_request(), 303, URL, is_same_origin=True)
    assert (following.method, following.body) == ("GET", None)
    assert following.headers == {"Authorization": "Bearer t", "X-Team": "a"}


def test_another_origin_gets_no_secret() -> None:
    tls = Tls(ca_cert="ca", client_cert="cert", client_key="key", is_verified=False)
    following = redirected(make_request(tls=tls), 307, "https://b.example/", is_same_origin=False)
    assert following.headers == {"Content-Type": "text/csv", "X-Team": "a"}
    assert following.options is not None
    assert following.options.link.tls == Tls(ca_cert="ca")


@pytest.mark.parametrize(
    ("redirects", "words"),
    [
        (Redirects.NONE, "answered 302 Found to /there; redirects are not followed: give the final address as the URL"),
        (Redirects.SAME_ORIGIN, "redirects are followed within the URL's origin only"),
        (Redirects.ANY, "not from https to http"),
    ],
)
def test_a_redirect_that_was_not_followed_says_why(redirects: Redirects, words: str) -> None:
    verdict = judge(Answer(status_code=302, location="/there"), frozenset(), redirects)
    assert not verdict.is_success
    assert words in verdict.error
