"""One simulated world from its first moment to its verdict."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from chronos.history.v1 import execution_pb2

from libs.clock import Clock
from libs.etcd.api_keys import store_key
from libs.process import App
from libs.rpc.credentials import new_key
from services.dispatcher.app import open_app as open_dispatcher
from services.dispatcher.settings import DispatcherSettings
from services.history.app import open_app as open_history
from services.history.convert import execution_from, uuid_text
from services.history.domain.records import Record as Stored
from services.history.ports import Archive, Ledger
from services.history.settings import HistorySettings
from services.scheduler.app import open_app as open_scheduler
from services.scheduler.settings import SchedulerSettings
from tests.faults.history import History, Phase, Record
from tests.simulation.client import Client, Stubs
from tests.simulation.clock import TrueTime
from tests.simulation.completer import Completer
from tests.simulation.database import Database, open_client
from tests.simulation.endpoint import ENDPOINT, Endpoint, senders
from tests.simulation.etcd import SimEtcd, SimEtcdClient
from tests.simulation.loop import SimLoop
from tests.simulation.machines import MESH_TOKEN, Machine, Mesh, address_of, open_channel
from tests.simulation.nemesis import Nemesis
from tests.simulation.network import Network
from tests.simulation.plan import DISPATCHERS, HISTORIES, SCHEDULERS, Plan, PlannedJob
from tests.simulation.tame import Tell, listen, tame
from tests.simulation.upright import find_unhealthy

Execution = execution_pb2.Execution
CLIENT = "client"
OPERATOR = "operator"
WARM_UP = 5.0
PATIENCE = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a world.

    `problems` are those that no history shows: a lease trusted after its end, records taken from an earlier epoch,
    crashes, errors, a mesh that does not heal.
    """

    history: History
    problems: tuple[str, ...]
    seconds: float
    """Virtual."""
    steps: int


class World:
    """A mesh of real services on simulated machines, and everything around it."""

    def __init__(self, plan: Plan, loop: SimLoop, trace: Callable[[str], None] | None = None) -> None:
        self.plan = plan
        self.loop = loop
        self.time = TrueTime(
            plan.pace.start, {node: timedelta(seconds=error) for node, error in plan.clock_errors.items()}
        )
        self.network = Network(random.Random(f"network {plan.seed}"), trace=trace)
        self.etcd = SimEtcd(self.network, random.Random(f"etcd {plan.seed}"))
        self.database = Database()
        self.endpoint = Endpoint(self.time, random.Random(f"endpoint {plan.seed}"))
        self.endpoint.manners = {job.id: job.manner for job in plan.jobs}
        self.mesh = Mesh(loop=loop, network=self.network, time=self.time, connect_etcd=self._connect_etcd)
        self.machines = {
            name: Machine(self.mesh, name, open_app)
            for names, open_app in (
                (HISTORIES, self._open_history),
                (DISPATCHERS, self._open_dispatcher),
                (SCHEDULERS, self._open_scheduler),
            )
            for name in names
        }
        self.etcd.lessor.on_expiry = self._look_who_trusts
        self._trusted: list[str] = []

    async def run(self) -> Outcome:
        """Lives through the whole plan."""
        plan = self.plan
        text, key = new_key("client", ["*"], ["*"], self.time.clock_of(OPERATOR), random_bytes=random.randbytes)
        operator = self._connect_etcd(OPERATOR)
        await store_key(operator, key)
        for machine in self.machines.values():
            machine.start()
        await asyncio.sleep(WARM_UP + plan.pace.lease.total_seconds())
        began_us = self.time.now_us()
        client = self._client(text)
        completer = self._completer(text)
        self.endpoint.complete = completer.begin
        nemesis = Nemesis(
            network=self.network,
            machines=self.machines,
            etcd=self.etcd,
            database=self.database,
            endpoint=self.endpoint,
            time=self.time,
        )
        jobs = {job.id: job for job in plan.jobs}
        async with asyncio.TaskGroup() as group:
            group.create_task(_create(client, plan.jobs))
            for call in plan.calls:
                group.create_task(_later(call.at, partial(client.change, call, jobs[call.job])))
            group.create_task(nemesis.run(plan.faults))
            group.create_task(asyncio.sleep(plan.pace.span.total_seconds()))
        healed_us = self.time.now_us()
        await asyncio.sleep(plan.pace.settle.total_seconds() / 2)
        judged_until_us = self.time.now_us()
        await client.pause_all(list(jobs))
        await asyncio.sleep(plan.pace.settle.total_seconds() / 2)
        problems = await find_unhealthy(operator, self.time.now(), plan)
        history = History(
            calls=(*client.calls, *completer.calls),
            arrivals=tuple(self.endpoint.arrivals),
            records=tuple(map(_record, self.database.all_records)),
            faults=tuple(nemesis.spans),
            phases=(
                Phase(name="faults", began_us=began_us, ended_us=healed_us),
                Phase(name="healed", began_us=healed_us, ended_us=self.time.now_us()),
            ),
            began_us=began_us,
            judged_until_us=judged_until_us,
            ended_us=self.time.now_us(),
        )
        return Outcome(
            history=history,
            problems=(*problems, *self._trusted, *self.database.problems, *self.mesh.crashes, *self.loop.errors),
            seconds=self.loop.time(),
            steps=self.loop.steps,
        )

    def _look_who_trusts(self, lease: int) -> None:
        names = [machine.name for machine in self.machines.values() if machine.trusts(lease)]
        self._trusted += [f"{name} trusts lease {lease:x} at {self.time.now()}, when etcd ends it" for name in names]

    def _client(self, key: str) -> Client:
        return Client(self._pick_stubs(CLIENT), self.time, (("x-api-key", key),))

    def _completer(self, key: str) -> Completer:
        patience = PATIENCE + 4 * self.plan.pace.lease.total_seconds()
        return Completer(self._pick_stubs(ENDPOINT), self.time, (("x-api-key", key),), patience)

    def _pick_stubs(self, node: str) -> Callable[[], Stubs]:
        """The way from a node outside the mesh to some scheduler."""
        dice = random.Random(f"{node} {self.plan.seed}")
        channels = {name: open_channel(self.network, node, address_of(name)) for name in SCHEDULERS}
        return lambda: Stubs(channels[dice.choice(SCHEDULERS)])

    def _connect_etcd(self, node: str) -> SimEtcdClient:
        dice = random.Random(f"etcd client {self.plan.seed} {node}")
        return SimEtcdClient(self.etcd, node, self.network, self.time.clock_of(node), dice)

    def _open_scheduler(self, machine: Machine) -> AbstractAsyncContextManager[App]:
        pace = self.plan.pace
        settings = SchedulerSettings(
            replica=machine.name,
            mesh_token=MESH_TOKEN,  # type: ignore[arg-type]
            lease_ttl=pace.lease,
            shard_count=self.plan.shards,
            grace_period=pace.grace,
            watermark_interval=pace.watermark,
            scan_interval=2.5 * pace.lease,
        )
        return open_scheduler(settings, machine.enter)

    def _open_dispatcher(self, machine: Machine) -> AbstractAsyncContextManager[App]:
        settings = DispatcherSettings(
            replica=machine.name,
            mesh_token=MESH_TOKEN,  # type: ignore[arg-type]
            lease_ttl=self.plan.pace.lease,
            breaker_failures=0,
        )
        return open_dispatcher(settings, machine.enter, senders(self.endpoint, self.network, machine.name))

    def _open_history(self, machine: Machine) -> AbstractAsyncContextManager[App]:
        @asynccontextmanager
        async def open_store(settings: HistorySettings, clock: Clock) -> AsyncIterator[tuple[Ledger, Archive]]:
            async with open_client(self.database, self.network, machine.name) as client:
                yield client, client

        settings = HistorySettings(
            replica=machine.name,
            mesh_token=MESH_TOKEN,  # type: ignore[arg-type]
            lease_ttl=self.plan.pace.lease,
            data_dir=Path("unused"),
            retention=timedelta(0),
            retention_interval=timedelta(hours=1),
        )
        return open_history(settings, machine.enter, open_store)


def live(plan: Plan, tell: Tell | None = None) -> Outcome:
    """Lives through a plan. Meant for a process of its own: what was killed is never cleaned up.

    `tell` gets what services log and what happens to the network.
    """
    tame(plan.seed)
    loop = SimLoop()
    asyncio.set_event_loop(loop)
    errors = listen(loop, tell)

    def trace(event: str) -> None:
        if tell is not None:
            tell(f"{loop.time():12.4f} {'network':<14} {event}")

    async def main() -> Outcome:
        return await World(plan, loop, trace).run()

    outcome = loop.run_until_complete(main())
    return replace(outcome, problems=(*outcome.problems, *errors.lines))


async def _create(client: Client, jobs: Sequence[PlannedJob]) -> None:
    """All at once, and then those that follow others, in order: what a job depends on must be there."""
    await asyncio.gather(*(client.create(job) for job in jobs if not job.rules.depends_on))
    for job in jobs:
        if job.rules.depends_on:
            await client.create(job)


async def _later(seconds: float, make: Callable[[], Coroutine[Any, Any, None]]) -> None:
    await asyncio.sleep(seconds)
    await make()


def _record(stored: Stored) -> Record:
    told = execution_from(stored)
    return Record(
        execution_id=uuid_text(stored.id),
        job=f"{stored.namespace}/{stored.job_id}",
        uid=stored.job_uid,
        scheduled_us=stored.scheduled_us,
        status=Execution.Status.Name(stored.status),  # type: ignore[arg-type]
        reason_code=Execution.Reason.Name(stored.reason_code),  # type: ignore[arg-type]
        reason=stored.reason,
        cause=Execution.Cause.Name(stored.cause),  # type: ignore[arg-type]
        delivery=stored.delivery,
        attempts=stored.attempt_count,
        skipped_until_us=stored.skipped_until_us,
        skipped_count=told.skipped_count,
        completed_us=stored.completed_us,
        parent_ids=tuple(told.parent_execution_ids),
    )
