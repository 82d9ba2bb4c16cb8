"""NATS."""

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from chronos.scheduler.v1 import nats_target_pb2

from libs.faults import Violation
from libs.redaction import MASK
from services.scheduler.domain import rules
from services.scheduler.jobs.targets import tls

SCHEMES = ("nats", "tls")
SEED = re.compile(r"SU[A-Z2-7]{56}")
JWT = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)
CREDENTIALS_PARTS = ("BEGIN NATS USER JWT", "BEGIN USER NKEY SEED")
MOST_SERVERS = 16


def fill(target: nats_target_pb2.NatsTarget) -> None:
    """Says what fields that were left out mean."""
    if target.request_reply and not target.HasField("reply_timeout"):
        target.reply_timeout.FromSeconds(5)


def violations(target: nats_target_pb2.NatsTarget) -> Iterator[Violation]:
    """What is wrong, beyond its shape."""
    yield from _url_violations(target.url)
    yield from tls.violations("nats.tls", target.tls, is_implied="tls://" in target.url)
    yield from _subject_violations("nats.subject", target.subject)
    if target.reply_subject:
        yield from _subject_violations("nats.reply_subject", target.reply_subject)
    yield from _header_violations(target)
    yield from rules.template_violations("nats.payload", [target.payload])
    yield from _reply_violations(target)
    yield from _jetstream_violations(target.jetstream)
    yield from _auth_violations(target.auth)


def _url_violations(url: str) -> Iterator[Violation]:
    texts = [text.strip() for text in url.split(",")]
    if len(texts) > MOST_SERVERS:
        yield Violation(field="nats.url", description=f"names more than {MOST_SERVERS} servers; name a few of them")
    found = [_server_problem(text) for text in texts]
    problem = next((one for one in found if one), "")
    if problem:
        yield Violation(field="nats.url", description=problem)
    elif len({urlsplit(text).scheme for text in texts}) > 1:
        yield Violation(field="nats.url", description="mixes nats:// and tls://; all are reached over TLS, or none is")


def _server_problem(text: str) -> str:
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        return f"holds {text!r}, which is no server ({error}); write for example nats://host:4222"
    if parts.scheme not in SCHEMES or not host or any(character.isspace() for character in text):
        return f"holds {text!r}, which is no server; write for example nats://host:4222, with commas between several"
    if parts.username is not None or parts.password is not None:
        return "holds credentials, which would be shown; put them into nats.auth"
    if parts.path.strip("/") or parts.query or parts.fragment:
        return f"holds {text!r}, which says more than host and port; leave the rest out"
    return ""


def _subject_violations(field: str, subject: str) -> Iterator[Violation]:
    tokens = subject.split(".")
    if not subject.isprintable() or any(character.isspace() for character in subject):
        yield Violation(field=field, description="holds white space or control characters; leave them out")
    elif not all(tokens):
        yield Violation(field=field, description="has an empty part; put one dot between parts, none at the ends")
    elif "*" in tokens or ">" in tokens:
        yield Violation(field=field, description="has a wildcard (* or >); a message goes to one subject, name it")


def _header_violations(target: nats_target_pb2.NatsTarget) -> Iterator[Violation]:
    yield from rules.header_violations("nats.headers", dict(target.headers))
    for name in sorted(target.headers):
        if name.lower().startswith("nats-"):
            description = "is a header of NATS itself; use the fields of nats.jetstream, or leave it out"
            yield Violation(field=f"nats.headers[{name!r}]", description=description)


def _reply_violations(target: nats_target_pb2.NatsTarget) -> Iterator[Violation]:
    waits = "request_reply waits for the reply" if target.request_reply else "jetstream waits for the stream"
    if target.reply_subject and (target.request_reply or target.jetstream.enabled):
        yield Violation(field="nats.reply_subject", description=f"cannot be used: {waits} on a subject of its own")
    if target.request_reply and target.jetstream.enabled:
        yield Violation(
            field="nats.request_reply", description="contradicts jetstream, whose reply is the stream's; drop one"
        )
    if target.HasField("reply_timeout") and not target.request_reply:
        yield Violation(field="nats.reply_timeout", description="has no meaning without request_reply; leave it out")


def _jetstream_violations(jetstream: nats_target_pb2.NatsJetStream) -> Iterator[Violation]:
    yield from rules.template_violations("nats.jetstream.message_id", [jetstream.message_id])
    if jetstream.ListFields() and not jetstream.enabled:
        yield Violation(field="nats.jetstream.enabled", description="must be true for the rest of it to have an effect")
    if re.search(r"[\s.*>/\\]", jetstream.stream):
        yield Violation(
            field="nats.jetstream.stream", description="is no name of a stream: it holds blanks, . * > / or \\"
        )
    for name in ("message_id", "expect_last_message_id"):
        if not getattr(jetstream, name).isprintable():
            yield Violation(field=f"nats.jetstream.{name}", description="holds control characters; leave them out")


def _auth_violations(auth: nats_target_pb2.NatsAuth) -> Iterator[Violation]:
    if auth.nkey_seed:
        yield from _seed_violations("nats.auth.nkey_seed", auth.nkey_seed)
    elif auth.WhichOneof("kind") == "jwt":
        yield from _seed_violations("nats.auth.jwt.nkey_seed", auth.jwt.nkey_seed)
        if auth.jwt.jwt != MASK and JWT.fullmatch(auth.jwt.jwt.strip()) is None:
            yield Violation(field="nats.auth.jwt.jwt", description="is no JWT: three parts in Base64 with dots between")
    elif auth.credentials not in ("", MASK) and not all(part in auth.credentials for part in CREDENTIALS_PARTS):
        yield Violation(
            field="nats.auth.credentials",
            description="is no .creds file: give its text with both parts, the user's JWT and NKey seed, not its name",
        )


def _seed_violations(field: str, seed: str) -> Iterator[Violation]:
    if seed != MASK and SEED.fullmatch(seed.strip()) is None:
        yield Violation(field=field, description="is no user's NKey seed: SU and 56 characters of A-Z and 2-7")
