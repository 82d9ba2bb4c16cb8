"""Who may publish to a NATS server, and over what: credentials, TLS, and certificates on both sides."""

import base64
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import nkeys
import pytest
import trustme

from services.dispatcher.domain.results import FailureKind
from tests.contract.targets.nats_rig import failed, make_request, open_sender, received
from tests.servers.nats import NatsServer

StartNats = Callable[..., NatsServer]
REFUSED = "SERVER refused the credentials (Authorization Violation); check nats.auth"


@dataclass(frozen=True)
class Pair:
    """A public key and its seed."""

    public: str
    seed: str

    @classmethod
    def make(cls, prefix: int) -> "Pair":
        seed = nkeys.encode_seed(os.urandom(32), prefix=prefix)
        return cls(nkeys.from_seed(bytearray(seed)).public_key.decode(), seed.decode())

    def sign(self, claims: Mapping[str, Any]) -> str:
        """A JWT as NATS has it."""
        head = _part(json.dumps({"typ": "JWT", "alg": "ed25519-nkey"}).encode())
        text = f"{head}.{_part(json.dumps({'iss': self.public, 'iat': 1, 'jti': 'x', **claims}).encode())}"
        return f"{text}.{_part(nkeys.from_seed(bytearray(self.seed.encode())).sign(text.encode()))}"


def _part(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


async def test_a_token_lets_in_and_a_wrong_one_does_not(own_nats: StartNats) -> None:
    server = own_nats({"authorization": {"token": "secret"}})
    async with open_sender() as sender:
        await received(sender, make_request(server, auth={"token": "secret"}))
        for auth in ({"token": "wrong"}, None):
            assert await failed(sender, make_request(server, auth=auth), FailureKind.CREDENTIALS) == REFUSED


async def test_a_user_and_password_let_in_and_wrong_ones_do_not(own_nats: StartNats) -> None:
    server = own_nats({"authorization": {"user": "u", "password": "p"}})
    async with open_sender() as sender:
        await received(sender, make_request(server, auth={"user": {"username": "u", "password": "p"}}))
        wrong = make_request(server, auth={"user": {"username": "u", "password": "x"}})
        assert await failed(sender, wrong, FailureKind.CREDENTIALS) == REFUSED


async def test_an_nkey_lets_in_and_another_one_does_not(own_nats: StartNats) -> None:
    user, stranger = Pair.make(nkeys.PREFIX_BYTE_USER), Pair.make(nkeys.PREFIX_BYTE_USER)
    server = own_nats({"authorization": {"users": [{"nkey": user.public}]}})
    async with open_sender() as sender:
        await received(sender, make_request(server, auth={"nkey_seed": user.seed}))
        wrong = make_request(server, auth={"nkey_seed": stranger.seed})
        assert await failed(sender, wrong, FailureKind.CREDENTIALS) == REFUSED
        broken = make_request(server, auth={"nkey_seed": "SUNONSENSE"})
        error = await failed(sender, broken, FailureKind.INVALID)
        assert error.startswith("the NKey seed in nats.auth is not valid")


async def test_a_jwt_lets_in_by_itself_and_as_a_credentials_file(own_nats: StartNats) -> None:
    operator, account = Pair.make(nkeys.PREFIX_BYTE_OPERATOR), Pair.make(nkeys.PREFIX_BYTE_ACCOUNT)
    user = Pair.make(nkeys.PREFIX_BYTE_USER)
    limits = {"subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": True, "conn": -1}
    server = own_nats({
        "operator": operator.sign({"name": "op", "sub": operator.public, "nats": {"type": "operator", "version": 2}}),
        "resolver": "MEMORY",
        "resolver_preload": {
            account.public: operator.sign(
                {"name": "acc", "sub": account.public, "nats": {"limits": limits, "type": "account", "version": 2}}
            )
        },
    })  # fmt: skip
    claims = {"subs": -1, "data": -1, "payload": -1, "type": "user", "version": 2}
    jwt = account.sign({"name": "user", "sub": user.public, "nats": claims})
    creds = (
        f"-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{user.seed}\n------END USER NKEY SEED------\n"
    )
    async with open_sender() as sender:
        await received(sender, make_request(server, auth={"jwt": {"jwt": jwt, "nkey_seed": user.seed}}))
        await received(sender, make_request(server, auth={"credentials": creds}))
        expired = account.sign({"name": "user", "sub": user.public, "exp": 2, "nats": claims})
        wrong = make_request(server, auth={"jwt": {"jwt": expired, "nkey_seed": user.seed}})
        error = await failed(sender, wrong, FailureKind.CREDENTIALS)
        assert error.startswith("SERVER refused the credentials (")


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def tls_config(authority: trustme.CA, folder: Path, *, is_mutual: bool = False, name: str = "localhost") -> Any:
    leaf = authority.issue_cert(name)
    leaf.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    leaf.private_key_pem.write_to_path(folder / "key.pem")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    files = {"cert_file": str(folder / "cert.pem"), "key_file": str(folder / "key.pem")}
    return {"tls": files | ({"ca_file": str(folder / "ca.pem"), "verify": True} if is_mutual else {})}


def pem(authority: trustme.CA) -> str:
    return authority.cert_pem.bytes().decode()


async def test_tls_is_spoken_with_a_server_that_is_trusted(
    authority: trustme.CA, own_nats: StartNats, tmp_path: Path
) -> None:
    server = own_nats(tls_config(authority, tmp_path))
    url = f"tls://localhost:{server.port}"
    async with open_sender() as sender:
        await received(sender, make_request(server, url=url, tls={"ca_cert": pem(authority)}))
        plain = f"nats://localhost:{server.port}"
        await received(sender, make_request(server, url=plain, tls={"enabled": True, "ca_cert": pem(authority)}))
        await received(sender, make_request(server, url=url, tls={"insecure_skip_verify": True}))
        named = {"ca_cert": pem(authority), "server_name": "localhost"}
        await received(sender, make_request(server, url=f"tls://127.0.0.1:{server.port}", tls=named))


async def test_a_server_that_is_not_trusted_gets_nothing(
    authority: trustme.CA, own_nats: StartNats, tmp_path: Path
) -> None:
    server = own_nats(tls_config(authority, tmp_path))
    url = f"tls://localhost:{server.port}"
    async with open_sender() as sender:
        for tls in ({"ca_cert": pem(trustme.CA())}, None):
            error = await failed(sender, make_request(server, url=url, tls=tls), FailureKind.CERTIFICATE)
            assert error.startswith(f"TLS: the certificate of localhost:{server.port}: ")
        unasked = make_request(server, url=f"nats://localhost:{server.port}")
        await failed(sender, unasked, FailureKind.CERTIFICATE)
        other = {"ca_cert": pem(authority), "server_name": "other.example"}
        error = await failed(sender, make_request(server, url=url, tls=other), FailureKind.CERTIFICATE)
        assert "other.example" in error


async def test_a_server_without_tls_gets_nothing_where_tls_is_asked_for(nats: NatsServer) -> None:
    async with open_sender() as sender:
        request = make_request(nats, url=f"tls://127.0.0.1:{nats.port}", auth={"token": "not for everybody"})
        error = await failed(sender, request, FailureKind.TLS)
    assert error == "TLS: SERVER does not speak TLS; write nats:// if that is meant"


async def test_a_client_certificate_lets_in_where_one_is_demanded(
    authority: trustme.CA, own_nats: StartNats, tmp_path: Path
) -> None:
    server = own_nats(tls_config(authority, tmp_path, is_mutual=True))
    url = f"tls://localhost:{server.port}"

    def shown(issuer: trustme.CA) -> dict[str, str]:
        leaf = issuer.issue_cert("chronos@example.com")
        chain = leaf.cert_chain_pems[0].bytes().decode()
        return {"ca_cert": pem(authority), "client_cert": chain, "client_key": leaf.private_key_pem.bytes().decode()}

    async with open_sender() as sender:
        await received(sender, make_request(server, url=url, tls=shown(authority)))
        for tls in (shown(trustme.CA()), {"ca_cert": pem(authority)}):
            request = make_request(server, url=url, tls=tls, timeout=timedelta(seconds=5))
            error = await failed(sender, request, FailureKind.CREDENTIALS)
            assert "refused the client certificate" in error


async def test_a_key_that_is_none_is_told(
    nats: NatsServer, authority: trustme.CA, own_nats: StartNats, tmp_path: Path
) -> None:
    server = own_nats(tls_config(authority, tmp_path))
    tls = {"ca_cert": pem(authority), "client_cert": pem(authority), "client_key": "nonsense"}
    async with open_sender() as sender:
        request = make_request(server, url=f"tls://localhost:{server.port}", tls=tls)
        error = await failed(sender, request, FailureKind.INVALID)
    assert error.startswith("tls.client_cert and tls.client_key are no certificate in PEM and its key")


async def test_connections_of_different_credentials_are_not_shared(own_nats: StartNats) -> None:
    server = own_nats({"authorization": {"user": "u", "password": "p"}})
    async with open_sender() as sender:
        await received(sender, make_request(server, auth={"user": {"username": "u", "password": "p"}}))
        await failed(sender, make_request(server), FailureKind.CREDENTIALS)
