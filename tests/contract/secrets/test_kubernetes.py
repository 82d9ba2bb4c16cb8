"""Kubernetes Secrets, against a server that answers as the API server does (there is no cluster in tests)."""

import base64
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme

from services.dispatcher.adapters.secrets.kubernetes import KubernetesSecrets
from services.dispatcher.domain.results import Failure, FailureKind
from tests.contract.secrets.http_server import Answer, Asked, serve


class Cluster:
    """The API server's part in this: Secrets by name, and who may read them."""

    def __init__(self) -> None:
        self.tokens = {"token-1"}
        self.secrets = {("jobs", "stripe"): {"key": base64.b64encode(b"s3cret\n").decode(), "raw": "//4="}}
        self.asked: list[Asked] = []

    def answer(self, asked: Asked) -> Answer:
        self.asked.append(asked)
        if asked.headers.get("authorization", "").removeprefix("Bearer ") not in self.tokens:
            return 403, {"kind": "Status", "reason": "Forbidden"}
        _, api, version, _, namespace, kind, name = asked.path.split("/")
        assert (api, version, kind) == ("api", "v1", "secrets")
        found = self.secrets.get((namespace, name))
        return (200, {"kind": "Secret", "data": found}) if found is not None else (404, {"kind": "Status"})


@pytest.fixture
def mount(tmp_path: Path) -> Path:
    (tmp_path / "token").write_text("token-1\n")
    (tmp_path / "namespace").write_text("jobs")
    return tmp_path


@asynccontextmanager
async def open_source(
    cluster: Cluster, mount: Path, namespace: str = "", authority: trustme.CA | None = None
) -> AsyncIterator[KubernetesSecrets]:
    tls = None
    if authority is not None:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(tls)
    async with serve(cluster.answer, tls) as url:
        source = KubernetesSecrets(url, mount=str(mount), namespace=namespace)
        yield source
        await source.close()


async def failure(source: KubernetesSecrets, name: str) -> Failure:
    answer = await source.read(name)
    assert isinstance(answer, Failure)
    return answer


async def test_a_secret_of_the_pod_s_own_namespace_is_read_over_tls_of_the_cluster(mount: Path) -> None:
    authority = trustme.CA()
    (mount / "ca.crt").write_bytes(authority.cert_pem.bytes())
    async with open_source(Cluster(), mount, authority=authority) as source:
        assert await source.read("stripe/key") == "s3cret\n"


async def test_a_server_that_the_cluster_s_authority_does_not_vouch_for_gets_no_token(mount: Path) -> None:
    (mount / "ca.crt").write_bytes(trustme.CA().cert_pem.bytes())
    cluster = Cluster()
    async with open_source(cluster, mount, authority=trustme.CA()) as source:
        assert (await failure(source, "stripe/key")).kind is FailureKind.UNREADY
    assert cluster.asked == []


async def test_another_namespace_is_read_where_the_operator_says_so(mount: Path) -> None:
    cluster = Cluster()
    cluster.secrets["vault", "stripe"] = {"key": base64.b64encode(b"other").decode()}
    async with open_source(cluster, mount, namespace="vault") as source:
        assert await source.read("stripe/key") == "other"


async def test_a_token_that_changes_is_read_anew(mount: Path) -> None:
    cluster = Cluster()
    async with open_source(cluster, mount) as source:
        cluster.tokens = {"token-2"}
        denied = await failure(source, "stripe/key")
        assert (denied.kind, "service account" in denied.error) == (FailureKind.UNREADY, True)
        (mount / "token").write_text("token-2")
        assert await source.read("stripe/key") == "s3cret\n"


async def test_what_is_not_there_is_told(mount: Path) -> None:
    async with open_source(Cluster(), mount) as source:
        for name, said in [
            ("absent/key", "no such Secret"),
            ("stripe/absent", 'no key "absent"'),
            ("stripe/raw", "UTF-8"),
        ]:
            found = await failure(source, name)
            assert (found.kind, said in found.error) == (FailureKind.INVALID, True)


async def test_no_account_and_no_server_may_mend(mount: Path) -> None:
    source = KubernetesSecrets("http://127.0.0.1:9", mount=str(mount / "absent"))
    assert "no Kubernetes service account" in (await failure(source, "stripe/key")).error
    source = KubernetesSecrets("http://127.0.0.1:9", mount=str(mount))
    assert (await failure(source, "stripe/key")).kind is FailureKind.UNREADY
    await source.close()
