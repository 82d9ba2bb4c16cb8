"""Findings in etcd: there while something is wrong, under the lease of the replica that found it."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from chronos.cluster.v1 import cluster_pb2

from libs.etcd import keys
from libs.etcd.lease import Lease
from services.scheduler.adapters.etcd_findings import EtcdFindingBoard
from services.scheduler.convert.findings import KINDS
from services.scheduler.domain.invariants import Finding, Kind
from tests.fakes.clock import FakeClock
from tests.fakes.etcd import FakeEtcd

START = datetime(2026, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
FINDING = Finding(kind=Kind.UNOWNED, subject="shard 7", since=START, message="nobody has it", fix="start one")


class Board:
    """A board on an etcd in memory."""

    def __init__(self) -> None:
        self.clock = FakeClock(START)
        self.etcd = FakeEtcd(self.clock)
        self.lease = Lease(self.etcd, 2 * SECOND, self.clock)
        self.board = EtcdFindingBoard(
            self.etcd, self.lease, instance="scheduler-0-x", replica="scheduler-0", clock=self.clock
        )

    async def stored(self) -> list[cluster_pb2.Finding]:
        found = await self.etcd.another_client().get(keys.findings("scheduler-0-x"))
        return list(cluster_pb2.Findings.FromString(found.value).findings) if found else []


@pytest.fixture
async def board() -> AsyncIterator[Board]:
    made = Board()
    tasks = [asyncio.ensure_future(made.lease.run()), asyncio.ensure_future(made.board.run())]
    await made.clock.advance(SECOND)
    yield made
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def test_every_kind_has_a_name_in_the_contract() -> None:
    assert {kind.value.upper(): number for kind, number in KINDS.items()} == {
        name: number for name, number in cluster_pb2.Finding.Kind.items() if number
    }


async def test_a_finding_is_there_until_it_is_gone(board: Board) -> None:
    assert await board.stored() == []
    board.board.show([FINDING])
    await board.clock.advance(2 * SECOND)
    (found,) = await board.stored()
    assert (found.subject, found.replica, found.since.ToDatetime(UTC)) == ("shard 7", "scheduler-0", START)
    board.board.show([])
    await board.clock.advance(2 * SECOND)
    assert await board.stored() == []


async def test_the_same_findings_are_written_once(board: Board) -> None:
    board.board.show([FINDING])
    await board.clock.advance(2 * SECOND)
    before = await board.etcd.get(keys.findings("scheduler-0-x"))
    board.board.show([FINDING])
    await board.clock.advance(5 * SECOND)
    assert await board.etcd.get(keys.findings("scheduler-0-x")) == before


async def test_findings_go_with_the_replica_and_come_back_with_its_next_lease(board: Board) -> None:
    board.board.show([FINDING])
    await board.clock.advance(2 * SECOND)
    board.etcd.is_away = True
    await board.clock.advance(5 * SECOND)
    assert await board.stored() == []
    board.etcd.is_away = False
    await board.clock.advance(5 * SECOND)
    assert len(await board.stored()) == 1


async def test_a_write_whose_answer_was_lost_is_repeated(board: Board) -> None:
    board.etcd.lose_answers(1)
    board.board.show([FINDING])
    await board.clock.advance(5 * SECOND)
    board.board.show([])
    await board.clock.advance(5 * SECOND)
    assert await board.stored() == []
