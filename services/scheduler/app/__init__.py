"""Wires the scheduler."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from libs.etcd.meta import ensure_meta
from libs.mesh import open_node
from libs.process import App
from services.scheduler.adapters.ledger import HistoryLedger
from services.scheduler.app.api import build_api
from services.scheduler.app.firing import build_firing
from services.scheduler.app.stores import open_stores
from services.scheduler.settings import SchedulerSettings


@asynccontextmanager
async def open_app(settings: SchedulerSettings) -> AsyncIterator[App]:
    """The scheduler, ready to start."""
    async with open_node("scheduler", settings) as node:
        shard_count = (await ensure_meta(node.etcd, settings.shard_count, clock=node.clock)).shard_count
        stores = open_stores(node, shard_count)
        histories = node.watch("history")
        ledger = HistoryLedger(histories, node.channel)
        server = node.server(build_api(stores, ledger, node.clock))
        firing = build_firing(node, settings, stores, ledger, shard_count)

        async def start() -> None:
            await node.start(server)

        async def drain() -> None:
            await node.membership.withdraw()
            await firing.hand_over()
            await server.drain(settings.drain_timeout / 2)

        loops = {**node.loops, "histories": histories.run, **stores.loops, **firing.loops}
        try:
            yield App(start=start, loops=loops, drain=drain)
        finally:
            await ledger.close()
