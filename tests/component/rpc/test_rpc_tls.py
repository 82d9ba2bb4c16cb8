"""TLS between services, mutual where an authority is given."""

from pathlib import Path

import pytest
import trustme
from chronos.scheduler.v1 import job_service_pb2, job_service_pb2_grpc

from libs.faults import Unavailable
from libs.rpc.channel import open_channel
from libs.rpc.tls import TlsFiles, tls_files
from libs.settings import ServiceSettings
from tests.component.rpc.harness import fault_of, serving


@pytest.fixture
def files(tmp_path: Path) -> TlsFiles:
    return issued(tmp_path, trustme.CA())


def issued(folder: Path, authority: trustme.CA) -> TlsFiles:
    certificate = authority.issue_cert("127.0.0.1")
    certificate.private_key_pem.write_to_path(folder / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    return TlsFiles(
        cert_file=str(folder / "cert.pem"), key_file=str(folder / "key.pem"), ca_file=str(folder / "ca.pem")
    )


async def test_services_of_one_authority_talk(files: TlsFiles) -> None:
    async with serving(tls=files) as served, open_channel(served.address, tls=files) as channel:
        stub = job_service_pb2_grpc.JobServiceStub(channel)
        job = await stub.GetJob(job_service_pb2.GetJobRequest(id="a"), metadata=served.metadata)
    assert job.id == "a"


async def test_strangers_are_not_let_in(files: TlsFiles, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = issued(tmp_path / "other", trustme.CA())
    async with serving(tls=files) as served:
        for tls in (None, other, TlsFiles(cert_file="", key_file="", ca_file=files.ca_file)):
            async with open_channel(served.address, tls=tls) as channel:
                stub = job_service_pb2_grpc.JobServiceStub(channel)
                request = job_service_pb2.GetJobRequest(id="a")
                assert isinstance(await fault_of(stub.GetJob(request, metadata=served.metadata)), Unavailable)


def test_half_a_pair_of_files_is_a_bad_setting() -> None:
    assert tls_files(ServiceSettings()) is None
    with pytest.raises(ValueError, match="belong together"):
        tls_files(ServiceSettings(tls_cert_file="cert.pem"))
