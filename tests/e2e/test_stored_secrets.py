"""What a real mesh keeps of the credentials of its jobs."""

import httpx
import pytest

from libs.etcd.client import EtcdClient
from tests.e2e.api import created, finished, job, triggered
from tests.e2e.conftest import Fresh
from tests.e2e.mesh import RunningMesh, eventually
from tests.e2e.receiver import Receiver

pytestmark = pytest.mark.mesh


async def test_credentials_are_encrypted_in_etcd_and_still_reach_their_receiver(
    mesh: RunningMesh, api: httpx.Client, fresh: Fresh, receiver: Receiver
) -> None:
    name, token = fresh("sealed"), "hunter2-in-clear"
    document = job(name, receiver.url("/ok"), schedule="@manual")
    document["webhook"]["auth"] = {"bearer": {"token": token}}
    assert created(api, document)["webhook"]["auth"]["bearer"]["token"] == "********"
    assert finished(api, triggered(api, name)["id"])["status"] == "SUCCESS"
    (delivery,) = eventually(lambda: receiver.of_job(name))
    assert delivery.headers["authorization"] == f"Bearer {token}"
    # An update that gives the mask back keeps the token, for a scheduler that was started anew as well.
    pid = mesh.kill("scheduler-0")
    eventually(lambda: mesh.processes().get("scheduler-0", {}).get("pid") not in (None, pid))
    eventually(lambda: api.patch(f"/api/v1/jobs/{name}", json={"description": "changed"}).is_success)
    assert finished(api, triggered(api, name)["id"], within=40)["status"] == "SUCCESS"
    assert {delivery.headers["authorization"] for delivery in receiver.of_job(name)} == {f"Bearer {token}"}

    client = EtcdClient((f"127.0.0.1:{mesh.processes()['etcd-0']['ports']['client']}",))
    kept = [item.value for item in (await client.list_prefix(b"/chronos/")).items if name.encode() in item.value]
    await client.close()
    assert sum(b"enc:v1:" in value for value in kept) >= 3  # The job, and its two versions.
    assert [value for value in kept if token.encode() in value] == []
