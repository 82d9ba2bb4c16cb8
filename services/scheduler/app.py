"""Wires the scheduler."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from chronos.scheduler.v1 import job_service_pb2_grpc

from libs.clock import Clock
from libs.etcd.meta import ensure_meta
from libs.etcd.ownership import Claim, ShardOwnership
from libs.mesh import open_node
from libs.process import App
from services.scheduler import metrics
from services.scheduler.adapters.dispatchers import DispatcherPool
from services.scheduler.adapters.etcd_jobs import EtcdJobStore
from services.scheduler.adapters.etcd_shards import EtcdShardStore
from services.scheduler.adapters.etcd_triggers import EtcdTriggerStore
from services.scheduler.adapters.ledger import HistoryLedger
from services.scheduler.domain.identity import microseconds
from services.scheduler.domain.timeline import Timeline
from services.scheduler.firing.notes import Notes
from services.scheduler.firing.outbox import Outbox
from services.scheduler.firing.outcomes import Outcomes
from services.scheduler.firing.owned import OwnedShards
from services.scheduler.firing.settler import Settler
from services.scheduler.firing.shards import ShardRunner
from services.scheduler.firing.ticker import Ticker
from services.scheduler.firing.watermarks import Watermarks
from services.scheduler.jobs import Jobs
from services.scheduler.servicer.jobs import JobServicer
from services.scheduler.settings import SchedulerSettings
from services.scheduler.triggers import Triggers

SERVICE = "chronos.scheduler.v1.JobService"


@asynccontextmanager
async def open_app(settings: SchedulerSettings) -> AsyncIterator[App]:
    """The scheduler, ready to start."""
    async with open_node("scheduler", settings) as node:
        clock, etcd = node.clock, node.etcd
        shard_count = (await ensure_meta(etcd, settings.shard_count, clock=clock)).shard_count
        peers, histories, dispatchers = node.watch("scheduler"), node.watch("history"), node.watch("dispatcher")
        ledger = HistoryLedger(histories, node.channel)
        job_store, shard_store = EtcdJobStore(etcd, shard_count), EtcdShardStore(etcd)
        trigger_store = EtcdTriggerStore(etcd, shard_count)

        # The API.
        jobs = Jobs(job_store, clock)
        triggers = Triggers(jobs, trigger_store, ledger, clock)
        server = node.server([
            (job_service_pb2_grpc.add_JobServiceServicer_to_server, JobServicer(jobs, triggers), SERVICE)
        ])  # fmt: skip

        # The firing path.
        claims: dict[int, Claim] = {}

        def is_valid(shard: int, epoch: int) -> bool:
            claim = claims.get(shard)
            return claim is not None and claim.epoch == epoch and ownership.is_valid(claim)

        async def own(claim: Claim) -> None:
            claims[claim.shard] = claim
            await runner.run(claim.shard, claim.epoch)

        timeline, owned = Timeline(), OwnedShards(is_valid)
        notes, settler = Notes(ledger, clock), Settler(trigger_store, clock)
        outcomes = Outcomes(owned, settler, notes, clock)
        outbox = Outbox(owned, outcomes.recorded, outcomes.orphaned, limit=settings.most_queued)
        pool = DispatcherPool(dispatchers, node.channel, outbox, clock)
        watermarks = Watermarks(store=shard_store, owned=owned, clock=clock, interval=settings.watermark_interval)
        measure(owned, timeline, outbox, clock)
        ticker = Ticker(
            timeline=timeline, owned=owned, outbox=outbox, notes=notes, clock=clock, grace=settings.grace_period
        )
        runner = ShardRunner(
            shards=shard_store, jobs=job_store, ledger=ledger, dispatchers=pool, owned=owned, timeline=timeline,
            outbox=outbox, notes=notes, settler=settler, watermarks=watermarks, clock=clock,
        )  # fmt: skip
        ownership = ShardOwnership(etcd, node.lease, peers, node.member, shard_count, own, clock)

        async def start() -> None:
            await node.start(server)

        async def drain() -> None:
            await node.membership.withdraw()
            await ownership.hand_over()
            await server.drain(settings.drain_timeout / 2)

        loops = {
            **node.loops,
            "peers": peers.run,
            "histories": histories.run,
            "dispatchers": dispatchers.run,
            "links": pool.run,
            "notes": notes.run,
            "settler": settler.run,
            "watermarks": watermarks.run,
            "ticker": ticker.run,
            "ownership": ownership.run,
        }
        try:
            yield App(start=start, loops=loops, drain=drain)
        finally:
            await ledger.close()


def measure(owned: OwnedShards, timeline: Timeline, outbox: Outbox, clock: Clock) -> None:
    """Lets the gauges look when they are asked."""

    def watermark_lag() -> float:
        now_us = microseconds(clock.now())
        return max((now_us - shard.watermark_us() for shard in owned), default=0) / 1e6

    metrics.SHARDS.set_function(lambda: len(owned))
    metrics.JOBS.set_function(lambda: len(timeline))
    metrics.QUEUED.set_function(lambda: outbox.queued)
    metrics.OUTSTANDING.set_function(lambda: outbox.outstanding)
    metrics.WATERMARK_LAG.set_function(watermark_lag)
