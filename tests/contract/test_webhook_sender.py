"""What the delivery loop may expect of a sender, fake or real; then what only real sockets do."""

import asyncio
import datetime
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
import trustme

from services.dispatcher.adapters.checked_clients import CheckedClients
from services.dispatcher.adapters.http import HttpSender, SharedClients
from services.dispatcher.adapters.http_clients import client_builder
from services.dispatcher.domain.addresses import AddressPolicy, parse_networks
from services.dispatcher.domain.results import Answer, Failure, FailureKind
from services.dispatcher.domain.targets.webhook import HttpRequest
from tests.fakes.clock import FakeClock
from tests.fakes.sender import FakeSender
from tests.receiver import Manner, Receiver, Reply

LIMIT = 1024
LONGEST = 1_000_000
SHORT = timedelta(milliseconds=60)


def make_request(
    url: str,
    *,
    method: str = "POST",
    body: bytes | None = b"{}",
    timeout: timedelta = timedelta(seconds=5),
    headers: Mapping[str, str] | None = None,
) -> HttpRequest:
    return HttpRequest(method=method, url=url, headers=headers or {}, body=body, timeout=timeout)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as receiver:
        yield receiver


@pytest.fixture
async def sender() -> AsyncIterator[HttpSender]:
    async with open_sender() as sender:
        yield sender


@asynccontextmanager
async def open_sender(ca_file: str = "") -> AsyncIterator[HttpSender]:
    sender = HttpSender(
        SharedClients(lambda: client_builder(max_idle_per_host=8, ca_file=ca_file)),
        max_response_bytes=LIMIT,
        longest_response_bytes=LONGEST,
    )
    yield sender
    await sender.close()


@asynccontextmanager
async def open_checked(*networks: str) -> AsyncIterator[HttpSender]:
    policy = AddressPolicy(allowed_networks=parse_networks(networks))
    clients = CheckedClients(
        policy, lambda: client_builder(max_idle_per_host=8), FakeClock(), lifetime=timedelta(seconds=30), limit=2
    )
    sender = HttpSender(clients, max_response_bytes=LIMIT, longest_response_bytes=LONGEST)
    yield sender
    await sender.close()


async def answer_of(sender: HttpSender | FakeSender, request: HttpRequest) -> Answer:
    result = await sender.send(request)
    assert isinstance(result, Answer), result
    return result


async def failure_of(sender: HttpSender | FakeSender, request: HttpRequest) -> Failure:
    result = await sender.send(request)
    assert isinstance(result, Failure), result
    return result


@pytest.mark.parametrize("make", [lambda real: FakeSender(Answer(status_code=200, body=b"ok")), lambda real: real])
async def test_an_answer_carries_status_and_body(
    make: Callable[[HttpSender], HttpSender | FakeSender], sender: HttpSender, receiver: Receiver
) -> None:
    assert await answer_of(make(sender), make_request(receiver.url())) == Answer(status_code=200, body=b"ok")


REFUSED = Failure(kind=FailureKind.CONNECT, error="connection refused by 127.0.0.1:9")


@pytest.mark.parametrize("make", [lambda real: FakeSender(REFUSED), lambda real: real])
async def test_an_unreachable_endpoint_is_a_failure_and_no_exception(
    make: Callable[[HttpSender], HttpSender | FakeSender], sender: HttpSender
) -> None:
    assert await failure_of(make(sender), make_request("http://127.0.0.1:9/")) == REFUSED


async def test_method_headers_and_body_arrive_as_given(sender: HttpSender, receiver: Receiver) -> None:
    await answer_of(
        sender, make_request(receiver.url("/a?b=c"), method="PUT", body=b'{"a": 1}', headers={"X-One": "1"})
    )
    (received,) = receiver.requests
    assert (received.method, received.target, received.body) == ("PUT", "/a?b=c", b'{"a": 1}')
    assert received.headers["x-one"] == "1"


async def test_connections_are_used_again(sender: HttpSender, receiver: Receiver) -> None:
    for _ in range(5):
        await answer_of(sender, make_request(receiver.url()))
    assert receiver.connections == 1


async def test_a_redirect_is_an_answer_and_not_followed(sender: HttpSender, receiver: Receiver) -> None:
    url = receiver.reply("/old", Reply(status=302, headers={"Location": receiver.url("/new")}))
    answer = await answer_of(sender, make_request(url))
    assert (answer.status_code, answer.location) == (302, receiver.url("/new"))
    assert [request.target for request in receiver.requests] == ["/old"]


async def test_retry_after_is_handed_on(sender: HttpSender, receiver: Receiver) -> None:
    url = receiver.reply("/busy", Reply(status=503, headers={"Retry-After": "7"}))
    assert (await answer_of(sender, make_request(url))).retry_after == "7"


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
async def test_a_request_may_have_no_body(method: str, sender: HttpSender, receiver: Receiver) -> None:
    await answer_of(sender, make_request(receiver.url(), method=method, body=None))
    assert (receiver.requests[0].method, receiver.requests[0].body) == (method, b"")


async def test_a_body_just_at_the_bound_is_kept_whole(sender: HttpSender, receiver: Receiver) -> None:
    url = receiver.reply("/big", Reply(body=b"x" * LIMIT))
    answer = await answer_of(sender, make_request(url))
    assert (len(answer.body), answer.is_truncated) == (LIMIT, False)


async def test_a_long_body_is_cut_at_the_bound(sender: HttpSender, receiver: Receiver) -> None:
    url = receiver.reply("/big", Reply(body=b"x" * LONGEST))
    answer = await answer_of(sender, make_request(url))
    assert (answer.status_code, len(answer.body), answer.is_truncated) == (200, LIMIT, True)
    assert answer.longest_bytes == 0


async def test_a_body_beyond_the_longest_is_oversized(sender: HttpSender, receiver: Receiver) -> None:
    url = receiver.reply("/big", Reply(body=b"x" * (LONGEST + 1)))
    answer = await answer_of(sender, make_request(url))
    assert (len(answer.body), answer.longest_bytes) == (LIMIT, LONGEST)


async def test_an_endless_body_ends_at_the_bound(sender: HttpSender, receiver: Receiver) -> None:
    url = receiver.reply("/endless", Reply(manner=Manner.ENDLESS, body=b"x" * 4096))
    answer = await answer_of(sender, make_request(url))
    assert (answer.status_code, answer.longest_bytes) == (200, LONGEST)


async def test_an_endpoint_that_says_nothing_times_out(sender: HttpSender, receiver: Receiver) -> None:
    url = receiver.reply("/silent", Reply(manner=Manner.SILENT))
    failure = await failure_of(sender, make_request(url, timeout=SHORT))
    assert failure == Failure(kind=FailureKind.TIMEOUT, error="timed out after 60ms")


async def test_a_body_that_never_ends_and_never_comes_times_out(sender: HttpSender, receiver: Receiver) -> None:
    url = receiver.reply("/stall", Reply(manner=Manner.STALL, body=b"beginning"))
    assert (await failure_of(sender, make_request(url, timeout=SHORT))).kind is FailureKind.TIMEOUT


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (Reply(manner=Manner.RESET), "connection closed by {} before it answered"),
        (
            Reply(manner=Manner.CUT, body=b"abc"),
            "the answer of {} broke off: end of file before message length reached",
        ),
        (Reply(manner=Manner.GARBAGE, body=b"hello\r\n\r\n"), "{} did not answer in HTTP: invalid HTTP version parsed"),
    ],
)
async def test_a_broken_answer_is_told_in_words(
    reply: Reply, words: str, sender: HttpSender, receiver: Receiver
) -> None:
    failure = await failure_of(sender, make_request(receiver.reply("/broken", reply)))
    assert failure == Failure(kind=FailureKind.BROKEN, error=words.format(f"127.0.0.1:{receiver.port}"))


async def test_a_name_that_does_not_resolve_is_told(sender: HttpSender) -> None:
    failure = await failure_of(sender, make_request("http://x.invalid/"))
    assert failure == Failure(kind=FailureKind.NAME, error="name x.invalid does not resolve")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("nonsense", "the URL is not valid: relative URL without a base"),
        ("ftp://example.com/", "the URL is not valid: it must begin with http:// or https:// and name a host"),
        ("http://exa mple.com/", "the URL is not valid: invalid international domain name"),
    ],
)
async def test_a_wrong_url_is_told(url: str, words: str, sender: HttpSender) -> None:
    assert await failure_of(sender, make_request(url)) == Failure(kind=FailureKind.INVALID, error=words)


async def test_a_wrong_header_is_told(sender: HttpSender, receiver: Receiver) -> None:
    failure = await failure_of(sender, make_request(receiver.url(), headers={"X-Split": "a\r\nb"}))
    assert failure.kind is FailureKind.INVALID
    assert failure.error.startswith("the request cannot be built: ")
    assert receiver.requests == []


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@asynccontextmanager
async def open_tls(
    authority: trustme.CA, name: str, expires: datetime.datetime | None = None
) -> AsyncIterator[Receiver]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name, not_after=expires).configure_cert(context)
    async with Receiver(context) as receiver:
        yield receiver


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> str:
    path = tmp_path / "ca.pem"
    path.write_bytes(authority.cert_pem.bytes())
    return str(path)


async def test_a_certificate_of_a_trusted_authority_is_accepted(authority: trustme.CA, ca_file: str) -> None:
    async with open_tls(authority, "localhost") as receiver, open_sender(ca_file) as sender:
        assert (await answer_of(sender, make_request(receiver.url(host="localhost")))).status_code == 200


@pytest.mark.parametrize(
    ("name", "year", "is_trusted", "words"),
    [
        ("localhost", 2100, False, "its issuer is unknown"),
        ("localhost", 2020, True, "it has expired"),
        ("other.example", 2100, True, "it is for another name"),
    ],
)
async def test_a_wrong_certificate_is_told(
    name: str, year: int, is_trusted: bool, words: str, authority: trustme.CA, ca_file: str
) -> None:
    expires = datetime.datetime(year, 1, 1, tzinfo=datetime.UTC)
    async with open_tls(authority, name, expires) as receiver, open_sender(ca_file if is_trusted else "") as sender:
        failure = await failure_of(sender, make_request(receiver.url(host="localhost")))
    expected = f"TLS: the certificate of localhost:{receiver.port}: {words}"
    assert failure == Failure(kind=FailureKind.CERTIFICATE, error=expected)


async def test_plaintext_where_tls_was_asked_for_is_told(sender: HttpSender) -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"hello, who is there?")
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as plain:
        port = plain.sockets[0].getsockname()[1]
        failure = await failure_of(sender, make_request(f"https://127.0.0.1:{port}/"))
    assert failure.kind is FailureKind.TLS
    assert "does not speak TLS" in failure.error


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "0177.0.0.1", "127.1", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0"],
)
async def test_a_private_address_is_refused_however_it_is_spelt(host: str, receiver: Receiver) -> None:
    async with open_checked() as sender:
        failure = await failure_of(sender, make_request(f"http://{host}:{receiver.port}/"))
    assert failure.kind is FailureKind.BLOCKED
    assert "is a private address" in failure.error
    assert receiver.connections == 0


async def test_an_allowed_network_is_reached_by_address_and_by_name(receiver: Receiver) -> None:
    async with open_checked("127.0.0.0/8", "::1/128") as sender:
        assert (await answer_of(sender, make_request(receiver.url()))).status_code == 200
        assert (await answer_of(sender, make_request(receiver.url(host="localhost")))).status_code == 200


async def test_a_checked_name_is_not_looked_up_again_for_a_while(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_up: list[str] = []
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo("127.0.0.1", receiver.port)

    async def look_up(host: str, port: int, **kwargs: object) -> list[object]:
        looked_up.append(host)
        return list(found)

    monkeypatch.setattr(loop, "getaddrinfo", look_up)
    async with open_checked("127.0.0.0/8") as sender:
        for _ in range(3):
            await answer_of(sender, make_request(receiver.url(host="pinned.example")))
    assert looked_up == ["pinned.example"]
    assert receiver.connections == 1


async def test_a_checked_name_that_does_not_resolve_is_told() -> None:
    async with open_checked() as sender:
        failure = await failure_of(sender, make_request("http://x.invalid/"))
    assert failure == Failure(kind=FailureKind.NAME, error="name x.invalid does not resolve")
