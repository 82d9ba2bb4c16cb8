"""The use cases of NamespaceService."""

from datetime import timedelta

import pytest
from chronos.scheduler.v1 import namespace_pb2

from libs.faults import AlreadyExists, Forbidden, InvalidArgument, NotFound, Stale, WrongState
from libs.rpc.context import Principal
from services.scheduler.namespaces import Namespaces
from tests.fakes.clock import FakeClock
from tests.fakes.namespaces import FakeNamespaceStore
from tests.fakes.policies import no_policies

ADMIN = Principal(id="key-1", name="admin", namespaces=("*",))


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def store() -> FakeNamespaceStore:
    return FakeNamespaceStore()


@pytest.fixture
def namespaces(store: FakeNamespaceStore, clock: FakeClock) -> Namespaces:
    return Namespaces(store, no_policies(), clock)


def wish(name: str, **quotas: int) -> namespace_pb2.Namespace:
    return namespace_pb2.Namespace(id=name, quotas=namespace_pb2.Quotas(**quotas))


async def create(namespaces: Namespaces, name: str, **quotas: int) -> namespace_pb2.Namespace:
    return await namespaces.create(wish(name, **quotas), validate_only=False, principal=ADMIN)


def limits(namespace: namespace_pb2.Namespace) -> tuple[int, int, int]:
    quotas = namespace.quotas
    return quotas.max_jobs, quotas.max_concurrent_runs, quotas.max_executions_per_hour


async def test_a_new_namespace_says_which_limits_it_has(namespaces: Namespaces) -> None:
    created = await create(namespaces, "team", max_jobs=3)
    assert limits(created) == (3, -1, -1)
    assert created.updated_by == "key-1"
    assert created.created_at == created.updated_at
    assert created.etag
    assert await namespaces.get("team") == created


async def test_a_namespace_says_what_happens_while_policies_cannot_be_asked(namespaces: Namespaces) -> None:
    created = await create(namespaces, "team")
    assert created.policy_failure == namespace_pb2.Namespace.DENY
    wish = namespace_pb2.Namespace(policy_failure=namespace_pb2.Namespace.ALLOW)
    await namespaces.replace("team", wish, validate_only=False, author="k")
    assert (await namespaces.get("team")).policy_failure == namespace_pb2.Namespace.ALLOW
    await namespaces.replace("team", namespace_pb2.Namespace(), validate_only=False, author="k")
    assert (await namespaces.get("team")).policy_failure == namespace_pb2.Namespace.DENY
    assert (await namespaces.get("default")).policy_failure == namespace_pb2.Namespace.DENY


async def test_an_id_is_taken_once(namespaces: Namespaces) -> None:
    await create(namespaces, "team")
    with pytest.raises(AlreadyExists):
        await create(namespaces, "team")


async def test_nobody_creates_a_namespace_that_he_may_not_use(namespaces: Namespaces) -> None:
    guest = Principal(id="key-2", name="guest", namespaces=("other",))
    with pytest.raises(Forbidden, match="team"):
        await namespaces.create(wish("team"), validate_only=False, principal=guest)


async def test_a_check_only_changes_nothing(namespaces: Namespaces) -> None:
    await namespaces.create(wish("team"), validate_only=True, principal=ADMIN)
    with pytest.raises(NotFound):
        await namespaces.get("team")
    await create(namespaces, "team", max_jobs=3)
    await namespaces.replace("team", wish("team", max_jobs=9), validate_only=True, author="key-1")
    assert limits(await namespaces.get("team"))[0] == 3


async def test_the_default_namespace_is_always_there_and_can_be_limited(namespaces: Namespaces) -> None:
    default = await namespaces.get("default")
    assert limits(default) == (-1, -1, -1)
    limited = wish("default", max_jobs=5)
    limited.etag = default.etag
    assert limits(await namespaces.replace("default", limited, validate_only=False, author="key-1")) == (5, -1, -1)
    with pytest.raises(Stale):
        await namespaces.replace("default", limited, validate_only=False, author="key-1")
    with pytest.raises(WrongState):
        await namespaces.delete("default", etag="")


async def test_one_that_was_never_created_is_not_found_with_a_hint(namespaces: Namespaces) -> None:
    with pytest.raises(NotFound, match="without limits"):
        await namespaces.get("team")


async def test_a_replaced_namespace_keeps_its_birthday(namespaces: Namespaces, clock: FakeClock) -> None:
    first = await create(namespaces, "team", max_jobs=3)
    await clock.advance(timedelta(hours=1))
    second = await namespaces.replace(
        "team", namespace_pb2.Namespace(description="x"), validate_only=False, author="key-2"
    )
    assert (second.id, second.description, second.updated_by, limits(second)) == ("team", "x", "key-2", (-1, -1, -1))
    assert second.created_at == first.created_at != second.updated_at
    assert second.etag != first.etag


async def test_the_id_and_an_old_etag_are_refused(namespaces: Namespaces) -> None:
    first = await create(namespaces, "team")
    with pytest.raises(InvalidArgument, match="cannot be changed"):
        await namespaces.replace("team", wish("other"), validate_only=False, author="key-1")
    await namespaces.replace("team", wish("team"), validate_only=False, author="key-1")
    stale = wish("team")
    stale.etag = first.etag
    with pytest.raises(Stale):
        await namespaces.replace("team", stale, validate_only=False, author="key-1")
    with pytest.raises(Stale):
        await namespaces.delete("team", etag=first.etag)


async def test_a_namespace_is_deleted_when_no_job_uses_it(namespaces: Namespaces, store: FakeNamespaceStore) -> None:
    await create(namespaces, "team")
    store.in_use.add("team")
    with pytest.raises(WrongState):
        await namespaces.delete("team", etag="")
    store.in_use.clear()
    await namespaces.delete("team", etag="")
    with pytest.raises(NotFound):
        await namespaces.delete("team", etag="")


async def test_a_list_shows_what_the_caller_may_use_page_by_page(namespaces: Namespaces) -> None:
    for name in ("a", "b", "e", "f"):
        await create(namespaces, name)
    first, token = await namespaces.list(size=3, token="", principal=ADMIN)
    assert [found.id for found in first] == ["a", "b", "default"]
    second, token = await namespaces.list(size=3, token=token, principal=ADMIN)
    assert [found.id for found in second] == ["e", "f"]
    assert token == ""
    guest = Principal(id="key-2", name="guest", namespaces=("b", "f"))
    assert [found.id for found in (await namespaces.list(size=0, token="", principal=guest))[0]] == ["b", "f"]
