"""All circuit breakers of a dispatcher, and how they are shown."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from chronos.dispatcher.v1.circuit_breaker_service_pb2 import CircuitBreaker, ListCircuitBreakersRequest

from libs.etcd import keys
from libs.etcd.lease import Lease
from services.dispatcher.adapters.etcd_breakers import BreakerNotices, EtcdBreakerBoard
from services.dispatcher.breakers import Breakers
from services.dispatcher.convert_breakers import write_breaker
from services.dispatcher.domain.breaker import Pass, Rules, Sign, State
from services.dispatcher.domain.results import Failure, FailureKind
from services.dispatcher.servicer.breakers import BreakerServicer
from tests.fakes.clock import FakeClock
from tests.fakes.etcd import FakeEtcd

SECOND = timedelta(seconds=1)
MEMORY = timedelta(minutes=10)
HOST = "example.com:443"


def make_breakers(clock: FakeClock, *, failures: int = 5, limit: int = 100) -> Breakers:
    return Breakers(Rules(failures=failures), clock, limit=limit, memory=MEMORY)


def fail(breakers: Breakers, host: str = HOST, times: int = 5) -> None:
    for _ in range(times):
        breakers.learn(host, Pass.PLAIN, Sign.FAILURE, "answered 503 Service Unavailable")


def refusal(breakers: Breakers, host: str = HOST) -> Failure:
    how = breakers.admit(host)
    assert isinstance(how, Failure)
    return how


def test_an_open_circuit_says_why_and_when_the_next_probe_goes_out() -> None:
    breakers = make_breakers(FakeClock())
    fail(breakers)
    failure = refusal(breakers)
    assert failure == Failure(
        kind=FailureKind.BREAKER_OPEN,
        error="not sent: the circuit of example.com:443 is open after 5 failures (last: answered 503 Service "
        "Unavailable); next probe at 2026-01-01T00:00:30Z",
        wait=30 * SECOND,
    )
    assert breakers.admit("other.example:443") is Pass.PLAIN


async def test_a_probe_goes_out_when_it_is_time_whatever_the_wall_clock_says() -> None:
    clock = FakeClock()
    breakers = make_breakers(clock)
    fail(breakers)
    clock.jump(timedelta(days=1))
    assert isinstance(breakers.admit(HOST), Failure)
    clock.jump(-timedelta(days=2))
    await clock.advance(30 * SECOND)
    assert breakers.admit(HOST) is Pass.PROBE
    assert refusal(breakers).error.endswith("; a probe is under way")
    for _ in range(2):
        breakers.learn(HOST, Pass.PROBE, Sign.SUCCESS, "")
        how = breakers.admit(HOST)
    assert (how, breakers.tripped) == (Pass.PLAIN, [])


def test_zero_failures_switch_it_off() -> None:
    breakers = make_breakers(FakeClock(), failures=0)
    fail(breakers, times=100)
    assert breakers.admit(HOST) is Pass.PLAIN
    assert len(breakers) == 0


def test_hosts_that_just_work_take_no_memory() -> None:
    breakers = make_breakers(FakeClock())
    breakers.learn(HOST, Pass.PLAIN, Sign.SUCCESS, "")
    fail(breakers, times=1)
    assert len(breakers) == 1
    breakers.learn(HOST, Pass.PLAIN, Sign.SUCCESS, "")
    assert len(breakers) == 0


def test_memory_is_bounded_and_closed_ones_go_first() -> None:
    breakers = make_breakers(FakeClock(), limit=3)
    fail(breakers, "open.example:80")
    for number in range(5):
        fail(breakers, f"closed-{number}.example:80", times=4)
    assert len(breakers) == 3
    assert isinstance(breakers.admit("open.example:80"), Failure)
    fail(breakers, "closed-4.example:80", times=1)
    assert isinstance(breakers.admit("closed-4.example:80"), Failure)
    for number in range(5):
        fail(breakers, f"open-{number}.example:80")
    assert [tripped.host for tripped in breakers.tripped] == [f"open-{number}.example:80" for number in (2, 3, 4)]


async def test_a_host_that_nobody_calls_any_more_is_forgotten() -> None:
    clock = FakeClock()
    breakers = make_breakers(clock)
    fail(breakers)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(breakers.run())
        await clock.advance(MEMORY)
        assert len(breakers.tripped) == 1
        await clock.advance(timedelta(seconds=61))
        assert breakers.tripped == []
        running.cancel()


class Mesh:
    """Two dispatchers, each with its breakers, and the board of a third."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.etcd = FakeEtcd(clock)
        self.board = EtcdBreakerBoard(self.etcd)
        self.lease = Lease(self.etcd, 2 * SECOND, clock)
        self.breakers = {name: make_breakers(clock) for name in ("dispatcher-0", "dispatcher-1")}

    async def list(self, host: str = "") -> list[tuple[str, str]]:
        request = ListCircuitBreakersRequest(host=host)
        response = await BreakerServicer(self.board).ListCircuitBreakers(request, None)  # type: ignore[arg-type]
        return [(breaker.host, breaker.dispatcher) for breaker in response.circuit_breakers]

    def notices(self, name: str) -> BreakerNotices:
        breakers = self.breakers[name]

        def own() -> dict[str, bytes]:
            return {one.host: write_breaker(one, name).SerializeToString() for one in breakers.tripped}

        return BreakerNotices(self.etcd, self.lease, f"{name}-x", self.clock, own=own, changed=breakers.changed)


@asynccontextmanager
async def open_mesh() -> AsyncIterator[Mesh]:
    mesh = Mesh(FakeClock())
    async with asyncio.TaskGroup() as group:
        loops = [mesh.lease.run, mesh.board.run, *(mesh.notices(name).run for name in mesh.breakers)]
        running = [group.create_task(loop()) for loop in loops]
        await mesh.clock.advance(SECOND)
        yield mesh
        for task in running:
            task.cancel()


async def test_every_replica_shows_the_breakers_of_all() -> None:
    async with open_mesh() as mesh:
        fail(mesh.breakers["dispatcher-1"])
        fail(mesh.breakers["dispatcher-0"])
        fail(mesh.breakers["dispatcher-0"], "a.example:80")
        await mesh.clock.advance(SECOND)
        expected = [("a.example:80", "dispatcher-0"), (HOST, "dispatcher-0"), (HOST, "dispatcher-1")]
        assert await mesh.list() == expected
        assert await mesh.list("a.example:80") == expected[:1]


async def test_what_is_shown_says_what_is_known() -> None:
    async with open_mesh() as mesh:
        fail(mesh.breakers["dispatcher-0"])
        await mesh.clock.advance(SECOND)
        (breaker,) = mesh.board.breakers()
        assert (breaker.state, breaker.failures) == (CircuitBreaker.OPEN, 5)
        assert breaker.last_error == "answered 503 Service Unavailable"
        assert breaker.probe_at.seconds - breaker.since.seconds == 30
        await mesh.clock.advance(30 * SECOND)
        assert mesh.breakers["dispatcher-0"].admit(HOST) is Pass.PROBE
        await mesh.clock.advance(SECOND)
        (breaker,) = mesh.board.breakers()
        assert (breaker.state, breaker.HasField("probe_at")) == (CircuitBreaker.HALF_OPEN, False)


async def test_one_that_closes_is_shown_no_more() -> None:
    async with open_mesh() as mesh:
        breakers = mesh.breakers["dispatcher-0"]
        fail(breakers)
        await mesh.clock.advance(30 * SECOND)
        for _ in range(2):
            assert breakers.admit(HOST) is Pass.PROBE
            breakers.learn(HOST, Pass.PROBE, Sign.SUCCESS, "")
        await mesh.clock.advance(SECOND)
        assert await mesh.list() == []


async def test_changes_close_together_are_written_at_once() -> None:
    async with open_mesh() as mesh:
        await mesh.clock.advance(SECOND)
        fail(mesh.breakers["dispatcher-0"], "first.example:80")
        await mesh.clock.advance(timedelta(0))
        for number in range(250):
            fail(mesh.breakers["dispatcher-0"], f"{number}.example:80")
        await mesh.clock.advance(timedelta(milliseconds=199))
        assert await mesh.list() == [("first.example:80", "dispatcher-0")]
        await mesh.clock.advance(timedelta(milliseconds=2))
        assert len(await mesh.list()) == 100, "as many as are remembered"


async def test_they_are_shown_again_after_the_lease_was_lost() -> None:
    async with open_mesh() as mesh:
        fail(mesh.breakers["dispatcher-0"])
        await mesh.clock.advance(SECOND)
        first = mesh.lease.generation
        await mesh.etcd.revoke(mesh.lease.id)
        await mesh.clock.advance(5 * SECOND)
        assert mesh.lease.generation > first
        assert await mesh.list() == [(HOST, "dispatcher-0")]
        item = await mesh.etcd.get(keys.breaker("dispatcher-0-x", HOST))
        assert item is not None
        assert item.lease == mesh.lease.id


async def test_they_go_with_their_dispatcher() -> None:
    async with open_mesh() as mesh:
        fail(mesh.breakers["dispatcher-0"])
        await mesh.clock.advance(SECOND)
    await mesh.lease.close()
    assert (await mesh.etcd.list_prefix(keys.BREAKERS)).items == ()


@pytest.mark.parametrize("how", ["away", "answers lost"])
async def test_an_etcd_that_is_away_for_a_moment_hears_of_them_later(how: str) -> None:
    async with open_mesh() as mesh:
        if how == "away":
            mesh.etcd.is_away = True
        else:
            mesh.etcd.lose_answers(1)
        fail(mesh.breakers["dispatcher-0"])
        await mesh.clock.advance(timedelta(milliseconds=300))
        mesh.etcd.is_away = False
        await mesh.clock.advance(3 * SECOND)
        assert await mesh.list() == [(HOST, "dispatcher-0")]
        assert mesh.breakers["dispatcher-0"].tripped[0].breaker.state is State.OPEN
