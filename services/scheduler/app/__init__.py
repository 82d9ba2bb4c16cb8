"""Wires the scheduler."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from libs.etcd.meta import ensure_meta
from libs.faults import Unavailable
from libs.log import get_logger
from libs.mesh import Node, OpenNode, open_node
from libs.process import App
from services.scheduler.adapters.dead_letters import HistoryDeadLetters
from services.scheduler.adapters.ledger import HistoryLedger
from services.scheduler.adapters.sealed import Sealed
from services.scheduler.app.api import build_api
from services.scheduler.app.firing import build_firing
from services.scheduler.app.policies import open_policies
from services.scheduler.app.stores import open_stores
from services.scheduler.settings import SchedulerSettings

META_PAUSE = timedelta(milliseconds=100)


@asynccontextmanager
async def open_app(settings: SchedulerSettings, enter: OpenNode = open_node) -> AsyncIterator[App]:
    """The scheduler, ready to start."""
    async with enter("scheduler", settings) as node:
        shard_count = await find_shard_count(node, settings.shard_count)
        stores = open_stores(node, shard_count, open_sealed(settings))
        histories = node.watch("history")
        ledger = HistoryLedger(histories, node.channel)
        letters = HistoryDeadLetters(histories, node.channel)
        policies = open_policies(node, settings, stores, histories)
        firing = build_firing(node, settings, stores, ledger, policies, shard_count)
        server = node.server(build_api(stores, ledger, letters, policies, firing.loads, node.clock))

        async def start() -> None:
            await node.start(server)

        async def drain() -> None:
            await node.membership.withdraw()
            await firing.hand_over()
            await server.drain(settings.drain_timeout / 2)

        loops = {**node.loops, "histories": histories.run, **stores.loops, **policies.loops, **firing.loops}
        try:
            yield App(start=start, loops=loops, drain=drain)
        finally:
            await policies.close()
            await letters.close()
            await ledger.close()


def open_sealed(settings: SchedulerSettings) -> Sealed:
    """What encrypts the secrets of stored jobs. Says so when nothing does."""
    sealed = Sealed([key.get_secret_value() for key in settings.encryption_keys])
    if not sealed.is_encrypting:
        get_logger().warning(
            "secrets of jobs are stored in clear",
            fix="give the same encryption_keys to all schedulers: openssl rand -base64 32",
        )
    return sealed


async def find_shard_count(node: Node, wanted: int) -> int:
    """How many shards the cluster has: `wanted` if it is new. Waits for etcd; raises WrongState for a newer format."""
    is_told = False
    while True:
        try:
            return (await ensure_meta(node.etcd, wanted, clock=node.clock)).shard_count
        except Unavailable as error:
            if not is_told:
                get_logger().warning("waiting for etcd", error=error.message)
            is_told = True
            await node.clock.sleep(META_PAUSE)
