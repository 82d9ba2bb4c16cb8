"""Vault, against a server that answers as its HTTP API is documented.

https://developer.hashicorp.com/vault/api-docs/secret/kv/kv-v2 and …/auth/kubernetes
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from services.dispatcher.adapters.secrets.vault import VaultAccess, VaultSecrets
from services.dispatcher.domain.results import Failure, FailureKind
from tests.contract.secrets.http_server import Answer, Asked, serve
from tests.fakes.clock import FakeClock

ERRORS: dict[str, Any] = {"errors": []}


class Vault:
    """Mounts `secret` (KV 2) and `kv` (KV 1), and the role `dispatcher` for the account `jwt-1`."""

    def __init__(self) -> None:
        self.tokens = {"root"}
        self.is_sealed = False
        self.namespace = ""
        self.fields: dict[str, Any] = {"key": "s3cret", "count": 3, "empty": ""}
        self.logins = 0

    def answer(self, asked: Asked) -> Answer:
        if self.is_sealed:
            return 503, {"errors": ["Vault is sealed"]}
        if asked.path == "/v1/auth/kubernetes/login":
            return self._log_in(asked)
        if asked.headers.get("x-vault-token") not in self.tokens:
            return 403, {"errors": ["permission denied"]}
        if asked.headers.get("x-vault-namespace", "") != self.namespace or asked.headers["x-vault-request"] != "true":
            return 404, ERRORS
        if asked.path == "/v1/secret/data/billing/str%20ipe":
            return 200, {"data": {"data": self.fields, "metadata": {"version": 1}}}
        if asked.path == "/v1/kv/billing":
            return 200, {"data": self.fields}
        return 404, ERRORS

    def _log_in(self, asked: Asked) -> Answer:
        if asked.body != {"role": "dispatcher", "jwt": "jwt-1"}:
            return 400, {"errors": ["invalid role name"]}
        self.logins += 1
        self.tokens = {f"token-{self.logins}"}
        return 200, {"auth": {"client_token": f"token-{self.logins}", "lease_duration": 60}}


@pytest.fixture
def account(tmp_path: Path) -> Path:
    (tmp_path / "token").write_text("jwt-1\n")
    return tmp_path / "token"


@asynccontextmanager
async def open_source(vault: Vault, clock: FakeClock | None = None, **access: Any) -> AsyncIterator[VaultSecrets]:
    async with serve(vault.answer) as url:
        source = VaultSecrets(VaultAccess(address=url + "/", **access), clock or FakeClock())
        yield source
        await source.close()


async def failure(source: VaultSecrets, name: str) -> Failure:
    answer = await source.read(name)
    assert isinstance(answer, Failure)
    return answer


async def test_a_field_is_read_with_a_token_from_both_versions_of_the_engine() -> None:
    async with open_source(Vault(), token="root") as source:
        assert await source.read("secret/billing/str ipe:key") == "s3cret"
    async with open_source(Vault(), token="root", mount="kv", version=1) as source:
        assert await source.read("kv/billing:key") == "s3cret"


async def test_a_namespace_inside_vault_is_told() -> None:
    vault = Vault()
    vault.namespace = "team"
    async with open_source(vault, token="root", vault_namespace="team") as source:
        assert await source.read("secret/billing/str ipe:key") == "s3cret"


async def test_what_is_not_there_is_told() -> None:
    async with open_source(Vault(), token="root") as source:
        for name, said in [
            ("secret/absent:key", "no secret there"),
            ("secret/billing/str ipe:absent", 'no text in a field "absent"'),
            ("secret/billing/str ipe:count", 'no text in a field "count"'),
            ("kv/billing:key", "from the mount secret alone"),
        ]:
            found = await failure(source, name)
            assert (found.kind, said in found.error) == (FailureKind.INVALID, True)


async def test_a_vault_that_is_away_sealed_or_denies_may_mend() -> None:
    vault = Vault()
    async with open_source(vault, token="wrong") as source:
        denied = await failure(source, "secret/billing/str ipe:key")
        assert (denied.kind, "(403)" in denied.error) == (FailureKind.UNREADY, True)
        vault.is_sealed = True
        assert "503 (sealed or in standby)" in (await failure(source, "secret/billing/str ipe:key")).error
    away = VaultSecrets(VaultAccess(address="http://127.0.0.1:9", token="root"), FakeClock())
    assert (await failure(away, "secret/a:b")).kind is FailureKind.UNREADY
    await away.close()


async def test_a_pod_logs_in_with_its_account_and_again_before_its_token_ends(account: Path) -> None:
    vault, clock = Vault(), FakeClock()
    async with open_source(vault, clock, role="dispatcher", account_token=str(account)) as source:
        for seconds, logins in [(0, 1), (39, 1), (1, 2)]:
            await clock.advance(timedelta(seconds=seconds))
            assert await source.read("secret/billing/str ipe:key") == "s3cret"
            assert vault.logins == logins


async def test_a_token_that_was_revoked_is_replaced_at_once(account: Path) -> None:
    vault = Vault()
    async with open_source(vault, role="dispatcher", account_token=str(account)) as source:
        assert await source.read("secret/billing/str ipe:key") == "s3cret"
        vault.tokens = set()
        assert await source.read("secret/billing/str ipe:key") == "s3cret"
        assert vault.logins == 2


async def test_a_login_that_fails_is_told_without_the_account(account: Path) -> None:
    async with open_source(Vault(), role="other", account_token=str(account)) as source:
        found = await failure(source, "secret/billing/str ipe:key")
        assert found.error == "Vault does not let the dispatcher log in as other (400)"
    async with open_source(Vault(), role="dispatcher", account_token=f"{account}-absent") as source:
        assert "no Kubernetes service account" in (await failure(source, "secret/a:b")).error
