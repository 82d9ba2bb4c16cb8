"""Redirects: followed where the job says so, and never to where it may not send."""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from urllib.parse import quote

import pytest
import trustme

from services.dispatcher.adapters.http import HttpSender
from services.dispatcher.domain.results import Failure, FailureKind
from services.dispatcher.domain.targets.http_options import HttpVersion, Redirects
from services.dispatcher.domain.targets.tls import Tls
from tests.contract.targets.webhook_sender import (
    SECRETS,
    answer_of,
    failure_of,
    make_request,
    open_checked,
    open_sender,
    trust,
)
from tests.receiver import Manner, Receiver, Reply
from tests.servers.nginx import ELSEWHERE, HERE, NginxServer

HEADERS = {
    "Authorization": "Bearer t0ken",
    "X-Key": "k",
    "X-Team": "billing",
    "Content-Type": "application/json",
    "Idempotency-Key": "e-1",
    "webhook-id": "e-1",
    "webhook-signature": "v1,abc",
    "X-Qhronos-Signature": "abc",
}
SIGNATURES = {"webhook-signature", "x-qhronos-signature"}


@pytest.fixture
async def sender() -> AsyncIterator[HttpSender]:
    async with open_sender() as sender:
        yield sender


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as receiver:
        yield receiver


def to(url: str, code: int = 307) -> str:
    return f"/{code}/?url={quote(url, safe='/:[]')}"


@pytest.mark.parametrize(
    ("code", "method", "expected"),
    [
        (301, "POST", "GET"),
        (302, "POST", "GET"),
        (303, "POST", "GET"),
        (307, "POST", "POST"),
        (308, "POST", "POST"),
        (301, "PUT", "PUT"),
        (302, "DELETE", "DELETE"),
        (303, "PUT", "GET"),
        (303, "HEAD", "HEAD"),
        (308, "PATCH", "PATCH"),
    ],
)
@pytest.mark.parametrize("redirects", [Redirects.SAME_ORIGIN, Redirects.ANY])
async def test_method_and_body_stay_or_go_as_the_code_says(
    redirects: Redirects, code: int, method: str, expected: str, sender: HttpSender, receiver: Receiver
) -> None:
    url = receiver.reply("/old", Reply(status=code, headers={"Location": "/new?a=b"}))
    body = b'{"a": 1}' if method not in ("HEAD", "DELETE") else None
    request = make_request(url, method=method, body=body, headers=HEADERS, redirects=redirects)
    answer = await answer_of(sender, request)
    assert answer.status_code == 200
    first, second = receiver.requests
    assert (first.method, first.body) == (method, body or b"")
    assert (second.method, second.target) == (expected, "/new?a=b")
    if expected == method:
        assert second.body == first.body
        assert second.headers == first.headers
    else:
        assert second.body == b""
        assert set(first.headers) - set(second.headers) == SIGNATURES | {"content-type", "content-length"}


async def test_another_origin_sees_no_credentials_and_no_signature(sender: HttpSender, receiver: Receiver) -> None:
    async with Receiver() as other:
        url = receiver.reply("/old", Reply(status=308, headers={"Location": other.url("/new")}))
        request = make_request(url, headers=HEADERS, body=b"{}", redirects=Redirects.ANY)
        assert (await answer_of(sender, request)).status_code == 200
        (first,), (second,) = receiver.requests, other.requests
    assert (second.method, second.body) == ("POST", b"{}")
    dropped = set(first.headers) - set(second.headers)
    assert dropped == SIGNATURES | {name.lower() for name in SECRETS}
    assert second.headers["idempotency-key"] == "e-1"
    assert second.headers["host"] == f"127.0.0.1:{other.port}"


async def test_what_was_dropped_does_not_come_back_on_the_way_home(sender: HttpSender, receiver: Receiver) -> None:
    async with Receiver() as other:
        other.reply("/there", Reply(status=307, headers={"Location": receiver.url("/back")}))
        url = receiver.reply("/old", Reply(status=307, headers={"Location": other.url("/there")}))
        await answer_of(sender, make_request(url, headers=HEADERS, redirects=Redirects.ANY))
    assert "authorization" not in receiver.requests[-1].headers


@pytest.mark.parametrize("location", ["http://localhost:{port}/new", "//localhost:{port}/new", "\\\\localhost:{port}/"])
async def test_another_origin_is_not_followed_unless_any_is(
    location: str, sender: HttpSender, receiver: Receiver
) -> None:
    there = location.format(port=receiver.port)
    url = receiver.reply("/old", Reply(status=307, headers={"Location": there}))
    for redirects in (Redirects.NONE, Redirects.SAME_ORIGIN):
        answer = await answer_of(sender, make_request(url, redirects=redirects))
        assert (answer.status_code, answer.location) == (307, there)
    assert [request.target for request in receiver.requests] == ["/old", "/old"]


async def test_a_redirect_from_https_to_http_is_not_followed(
    sender: HttpSender, receiver: Receiver, shared_nginx: NginxServer
) -> None:
    url = shared_nginx.url("tls", to(receiver.url("/plain")))
    request = make_request(url, tls=trust(shared_nginx.authority), redirects=Redirects.ANY)
    answer = await answer_of(sender, request)
    assert (answer.status_code, answer.location) == (307, receiver.url("/plain"))
    assert receiver.connections == 0


@pytest.mark.parametrize("version", [HttpVersion.HTTP_1_1, HttpVersion.HTTP_2])
async def test_the_client_certificate_is_for_the_first_origin_only(
    version: HttpVersion, sender: HttpSender, shared_nginx: NginxServer
) -> None:
    tls = trust(shared_nginx.authority, shared_nginx.authority.issue_cert("chronos@example.com"))
    within = make_request(shared_nginx.url("mutual", to("/there")), tls=tls, version=version, redirects=Redirects.ANY)
    assert (await answer_of(sender, within)).body.endswith(b"POST SUCCESS")
    beyond = make_request(
        shared_nginx.url("mutual", to(shared_nginx.url("mutual", host=HERE))),
        tls=tls,
        version=version,
        redirects=Redirects.ANY,
    )
    answer = await answer_of(sender, beyond)
    assert answer.status_code == 400
    assert b"No required SSL certificate was sent" in answer.body


async def test_only_the_first_origin_is_believed_any_certificate(sender: HttpSender, shared_nginx: NginxServer) -> None:
    url = shared_nginx.url("expired", to(shared_nginx.url("expired", host=HERE)))
    failure = await failure_of(sender, make_request(url, tls=Tls(is_verified=False), redirects=Redirects.ANY))
    assert failure.kind is FailureKind.CERTIFICATE
    assert failure.error.startswith(f"after a redirect: TLS: the certificate of {HERE}:")


async def test_a_public_name_cannot_lead_to_a_private_address(
    shared_nginx: NginxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    names = {"hooks.example": HERE, "inner.example": "10.0.0.1"}
    real_look_up = loop.getaddrinfo

    async def look_up(host: str, port: int, **kwargs: object) -> object:
        return await real_look_up(names[host], port)

    monkeypatch.setattr(loop, "getaddrinfo", look_up)
    port = shared_nginx.port("plain")
    places = [f"{ELSEWHERE}:{port}/secret", "[::1]:80/", "0x7f000002:80/", "169.254.169.254/latest/", "inner.example/"]
    async with open_checked(f"{HERE}/32") as sender:
        for place in places:
            url = shared_nginx.url("plain", to(f"http://{place}"), host="hooks.example")
            failure = await failure_of(sender, make_request(url, redirects=Redirects.ANY))
            assert failure.kind is FailureKind.BLOCKED, place
            assert failure.error.startswith("after a redirect: ")
        allowed = shared_nginx.url("plain", to(f"http://{HERE}:{port}/open"), host="hooks.example")
        assert (await answer_of(sender, make_request(allowed, redirects=Redirects.ANY))).status_code == 200
    assert "/secret" not in {call[2] for call in shared_nginx.calls()}


async def test_the_private_address_would_have_answered(sender: HttpSender, shared_nginx: NginxServer) -> None:
    url = shared_nginx.url("plain", to(f"http://{ELSEWHERE}:{shared_nginx.port('plain')}/reached"))
    assert (await answer_of(sender, make_request(url, redirects=Redirects.ANY))).status_code == 200
    assert "/reached" in {call[2] for call in shared_nginx.calls()}


async def test_ten_redirects_are_followed_and_not_one_more(sender: HttpSender, receiver: Receiver) -> None:
    for number in range(11):
        receiver.reply(f"/{number}", Reply(status=307, headers={"Location": f"/{number + 1}"}))
    answer = await answer_of(sender, make_request(receiver.url("/1"), redirects=Redirects.SAME_ORIGIN))
    assert answer.status_code == 200
    failure = await failure_of(sender, make_request(receiver.url("/0"), redirects=Redirects.SAME_ORIGIN))
    assert failure == Failure(
        kind=FailureKind.INVALID,
        error="more than 10 redirects, the last to /11; give the final address as the URL",
    )
    assert len(receiver.requests) == 11 + 11


async def test_an_endless_loop_ends(sender: HttpSender, shared_nginx: NginxServer) -> None:
    failure = await failure_of(sender, make_request(shared_nginx.url("plain", "/loop"), redirects=Redirects.ANY))
    assert failure.kind is FailureKind.INVALID


async def test_the_timeout_spans_all_redirects(sender: HttpSender, receiver: Receiver) -> None:
    receiver.reply("/silent", Reply(manner=Manner.SILENT))
    url = receiver.reply("/old", Reply(status=307, headers={"Location": "/silent"}))
    began = time.monotonic()
    timeout = timedelta(milliseconds=200)
    failure = await failure_of(sender, make_request(url, timeout=timeout, redirects=Redirects.ANY))
    assert failure == Failure(kind=FailureKind.TIMEOUT, error="timed out after 200ms")
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("location", ["http://x.invalid/", "http://127.0.0.1:9/"])
async def test_after_an_answer_nothing_counts_as_never_sent(
    location: str, sender: HttpSender, receiver: Receiver
) -> None:
    url = receiver.reply("/old", Reply(status=303, headers={"Location": location}))
    failure = await failure_of(sender, make_request(url, redirects=Redirects.ANY))
    assert failure.kind is FailureKind.BROKEN
    assert failure.error.startswith("after a redirect: ")


@pytest.mark.parametrize("location", ["ftp://example.com/", "http://", "javascript:1"])
async def test_a_location_that_is_no_web_address_is_told(location: str, sender: HttpSender, receiver: Receiver) -> None:
    url = receiver.reply("/old", Reply(status=302, headers={"Location": location}))
    failure = await failure_of(sender, make_request(url, redirects=Redirects.ANY))
    assert failure.kind is FailureKind.INVALID
    assert failure.error.startswith(f"answered 302 to {location}, no URL: ")


async def test_a_redirect_without_a_place_is_an_answer(sender: HttpSender, receiver: Receiver) -> None:
    url = receiver.reply("/old", Reply(status=302))
    assert (await answer_of(sender, make_request(url, redirects=Redirects.ANY))).status_code == 302


async def test_a_stranger_is_trusted_by_the_jobs_authority(sender: HttpSender, shared_nginx: NginxServer) -> None:
    url = shared_nginx.url("tls", to(shared_nginx.url("tls", "/moved", host=HERE)))
    tls = trust(shared_nginx.authority)
    assert (await answer_of(sender, make_request(url, tls=tls, redirects=Redirects.ANY))).status_code == 200
    failure = await failure_of(sender, make_request(url, tls=trust(trustme.CA()), redirects=Redirects.ANY))
    assert failure.kind is FailureKind.CERTIFICATE
