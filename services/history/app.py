"""Wires history."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

from chronos.history.v1.dead_letter_service_pb2_grpc import add_DeadLetterServiceServicer_to_server
from chronos.history.v1.execution_service_pb2_grpc import add_ExecutionServiceServicer_to_server
from chronos.history.v1.ledger_service_pb2_grpc import add_LedgerServiceServicer_to_server
from chronos.history.v1.policy_decision_service_pb2_grpc import add_PolicyDecisionServiceServicer_to_server

from libs.clock import Clock, SystemClock
from libs.mesh import Node, OpenNode, open_node
from libs.process import App
from libs.rpc.server import RpcServer, Service
from services.history import metrics
from services.history.adapters.postgres.errors import LedgerRefusedError
from services.history.adapters.postgres.ledger import open_postgres
from services.history.adapters.postgres.session import Target
from services.history.adapters.sqlite.archive import SqliteArchive
from services.history.adapters.sqlite.errors import LedgerFileError
from services.history.adapters.sqlite.ledger import SqliteLedger
from services.history.dead_letters import DeadLetters
from services.history.decisions import Decisions
from services.history.executions import Executions
from services.history.feed import Feed
from services.history.ledger import Recording
from services.history.ports import Archive, Ledger
from services.history.retention import Ages, Retention
from services.history.room import Room
from services.history.servicer import DeadLetterServicer, ExecutionServicer, LedgerServicer, PolicyDecisionServicer
from services.history.settings import HistorySettings
from services.history.write_health import WriteHealth

EXECUTION_SERVICE = "chronos.history.v1.ExecutionService"
DEAD_LETTER_SERVICE = "chronos.history.v1.DeadLetterService"
LEDGER_SERVICE = "chronos.history.v1.LedgerService"
POLICY_DECISION_SERVICE = "chronos.history.v1.PolicyDecisionService"
FILE = "ledger.sqlite3"
OpenStore = Callable[[HistorySettings, Clock], AbstractAsyncContextManager[tuple[Ledger, Archive]]]
"""How both sides of the ledger are opened; see `open_store`. The simulation brings its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """History over some store, without its place in the mesh."""

    services: tuple[Service, ...]
    feed: Feed
    retention: Retention
    health: WriteHealth


@asynccontextmanager
async def open_store(settings: HistorySettings, clock: Clock) -> AsyncIterator[tuple[Ledger, Archive]]:
    """Both sides of the ledger, in PostgreSQL or in a file. What is queued when it closes is written."""
    url = settings.ledger_url.get_secret_value()
    try:
        async with _postgres(url, settings, clock) if url else _sqlite(settings, clock) as store:
            yield store
    except (LedgerFileError, LedgerRefusedError) as error:
        raise SystemExit(f"history cannot start: {error}") from error


@asynccontextmanager
async def open_app(
    settings: HistorySettings, enter: OpenNode = open_node, keep: OpenStore = open_store
) -> AsyncIterator[App]:
    """History, ready to start. Exits the process with a sentence when the ledger's file or database cannot be used."""
    async with keep(settings, SystemClock()) as (ledger, archive), enter("history", settings) as node:
        history = wire(settings, ledger, archive, node.clock)
        server = node.server(history.services)

        loops = {
            **node.loops,
            "feed": history.feed.run,
            "retention": history.retention.run,
            "write health": lambda: history.health.run(ledger, server.set_serving),
        }
        yield App(start=lambda: node.start(server), loops=loops, drain=lambda: _drain(node, server, settings))


def wire(settings: HistorySettings, ledger: Ledger, archive: Archive, clock: Clock) -> History:
    """What answers calls, and the loops beside it."""
    health = WriteHealth(clock)
    feed = Feed(
        archive,
        clock,
        interval=settings.watch_interval,
        keep_alive=settings.watch_keep_alive,
        buffer=settings.watch_buffer,
    )
    recording = Recording(ledger, Room(settings.max_pending_records), health, feed.wake)
    executions = Executions(archive)
    inner = LedgerServicer(recording, executions, clock, max_response_bytes=settings.max_response_bytes)
    outer = ExecutionServicer(executions, feed)
    letters = DeadLetterServicer(DeadLetters(ledger, archive))
    decisions = PolicyDecisionServicer(Decisions(ledger, archive, health))
    ages = Ages(
        executions=settings.retention,
        dead_letters=settings.dead_letter_retention,
        most_dead_letters=settings.max_dead_letters,
        decisions=settings.decision_retention,
    )
    return History(
        services=(
            (add_ExecutionServiceServicer_to_server, outer, EXECUTION_SERVICE),
            (add_DeadLetterServiceServicer_to_server, letters, DEAD_LETTER_SERVICE),
            (add_LedgerServiceServicer_to_server, inner, LEDGER_SERVICE),
            (add_PolicyDecisionServiceServicer_to_server, decisions, POLICY_DECISION_SERVICE),
        ),
        feed=feed,
        retention=Retention(ledger, archive, health, clock, ages=ages, interval=settings.retention_interval),
        health=health,
    )


@asynccontextmanager
async def _sqlite(settings: HistorySettings, clock: Clock) -> AsyncIterator[tuple[Ledger, Archive]]:
    path = settings.data_dir / FILE
    ledger = SqliteLedger(
        path,
        clock=clock,
        observer=metrics.CommitMetrics(),
        sync=settings.sync,
        busy_timeout=settings.busy_timeout,
        max_commit_records=settings.max_commit_records,
        check_up_to_bytes=settings.check_up_to_bytes,
    )
    try:
        archive = SqliteArchive(path, threads=settings.reader_threads, busy_timeout=settings.busy_timeout)
        metrics.LEDGER_BYTES.set_function(lambda: path.stat().st_size)
        try:
            yield ledger, archive
        finally:
            await archive.close()
    finally:
        await ledger.close()


@asynccontextmanager
async def _postgres(url: str, settings: HistorySettings, clock: Clock) -> AsyncIterator[tuple[Ledger, Archive]]:
    async with open_postgres(
        Target(url=url, timeout=settings.ledger_timeout),
        clock=clock,
        observer=metrics.CommitMetrics(),
        max_commit_records=settings.max_commit_records,
        connections=settings.ledger_connections,
    ) as store:
        yield store


async def _drain(node: Node, server: RpcServer, settings: HistorySettings) -> None:
    await node.membership.withdraw()
    await server.drain(settings.drain_timeout / 2)
