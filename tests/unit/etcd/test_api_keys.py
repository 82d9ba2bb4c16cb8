from chronos.auth.v1.api_key_pb2 import ApiKey

from libs.etcd import keys
from libs.etcd.api_keys import EtcdKeyDirectory, delete_key, list_keys, store_key
from tests.eventually import soon
from tests.fakes.etcd import FakeEtcd
from tests.unit.etcd.replicas import running

ADMIN = ApiKey(id="aaaa", name="admin", permissions=["*"], namespaces=["*"])


async def test_the_mirror_follows_what_is_stored() -> None:
    etcd = FakeEtcd()
    directory = EtcdKeyDirectory(etcd)
    assert not directory.is_ready
    async with running(directory.run()):
        await directory.ready()
        assert directory.find("aaaa") is None
        await store_key(etcd, ADMIN)
        await soon(lambda: directory.find("aaaa") == ADMIN)
        assert await delete_key(etcd, "aaaa")
        await soon(lambda: directory.find("aaaa") is None)
        assert not await delete_key(etcd, "aaaa")


async def test_keys_are_listed_by_id() -> None:
    etcd = FakeEtcd()
    for key_id in ("b", "a"):
        await store_key(etcd, ApiKey(id=key_id))
    assert [key.id for key in await list_keys(etcd)] == ["a", "b"]


async def test_known_keys_stay_good_while_etcd_is_away() -> None:
    etcd = FakeEtcd()
    await store_key(etcd, ADMIN)
    directory = EtcdKeyDirectory(etcd)
    async with running(directory.run()):
        await directory.ready()
        etcd.is_away = True
        assert directory.is_ready
        assert directory.find("aaaa") == ADMIN


async def test_an_unreadable_key_opens_nothing_and_stops_nothing() -> None:
    etcd = FakeEtcd()
    directory = EtcdKeyDirectory(etcd)
    await etcd.put(keys.api_key("aaaa"), b"\xff\xff\xff")
    await store_key(etcd, ApiKey(id="bbbb"))
    async with running(directory.run()):
        await directory.ready()
        assert directory.find("aaaa") is None
        assert directory.find("bbbb") is not None
        await etcd.put(keys.api_key("bbbb"), b"\xff\xff\xff")
        await soon(lambda: directory.find("bbbb") is None)
