"""NATS."""

from datetime import timedelta

from chronos.scheduler.v1 import nats_target_pb2

from services.dispatcher.convert_targets.spans import span_or
from services.dispatcher.convert_targets.tls import read_tls
from services.dispatcher.domain.contract import Contract
from services.dispatcher.domain.targets.nats import (
    USUAL_REPLY_TIMEOUT,
    JetStream,
    NatsMessage,
    NatsPlan,
    compile_nats,
)
from services.dispatcher.domain.targets.nats_servers import (
    Access,
    Credentials,
    NKey,
    Token,
    UserPassword,
    read_credentials_file,
    read_servers,
)


def read_nats(target: nats_target_pb2.NatsTarget, *, timeout: timedelta, contract: Contract) -> NatsPlan:
    """The plan of a NATS target. Raises ValueError for one that cannot be delivered to."""
    message = NatsMessage(
        access=_access(target),
        subject=target.subject,
        payload=target.payload,
        headers=dict(target.headers),
        is_request=target.request_reply,
        reply_timeout=span_or(target.reply_timeout, USUAL_REPLY_TIMEOUT),
        reply_subject=target.reply_subject,
        jetstream=_jetstream(target.jetstream) if target.jetstream.enabled else None,
    )
    return compile_nats(message, timeout=timeout, contract=contract)


def _access(target: nats_target_pb2.NatsTarget) -> Access:
    servers, needs_tls = read_servers(target.url)
    tls = read_tls(target.tls)
    return Access(
        servers=servers,
        needs_tls=needs_tls or (tls is not None and tls.is_enabled),
        tls=tls,
        credentials=_credentials(target.auth),
    )


def _jetstream(message: nats_target_pb2.NatsJetStream) -> JetStream:
    return JetStream(
        stream=message.stream,
        message_id=message.message_id,
        expect_last_message_id=message.expect_last_message_id,
    )


def _credentials(message: nats_target_pb2.NatsAuth) -> Credentials | None:
    match message.WhichOneof("kind"):
        case "token":
            return Token(token=message.token)
        case "user":
            return UserPassword(username=message.user.username, password=message.user.password)
        case "nkey_seed":
            return NKey(seed=message.nkey_seed.strip())
        case "jwt":
            return NKey(seed=message.jwt.nkey_seed.strip(), jwt=message.jwt.jwt.strip())
        case "credentials":
            return read_credentials_file(message.credentials)
        case _:
            return None
