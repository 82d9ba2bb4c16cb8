"""Puts the firing path together: timeline → gate → outbox → dispatchers, and back."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from libs.clock import Clock
from libs.etcd.ownership import Claim, ShardOwnership
from libs.mesh import Node
from services.scheduler import metrics
from services.scheduler.adapters.dispatchers import DispatcherPool
from services.scheduler.app.policies import PolicyParts
from services.scheduler.app.scan import FiringParts, scan_loops
from services.scheduler.app.stores import Stores
from services.scheduler.domain.identity import microseconds
from services.scheduler.domain.timeline import Timeline
from services.scheduler.firing.absences import Absences
from services.scheduler.firing.admission import Admission
from services.scheduler.firing.begun import BegunVersions
from services.scheduler.firing.completions import Completions
from services.scheduler.firing.endings import Endings
from services.scheduler.firing.follow_ups import FollowUps
from services.scheduler.firing.loads import RunLoads
from services.scheduler.firing.notes import Notes
from services.scheduler.firing.orders import Orders
from services.scheduler.firing.outbox import Outbox
from services.scheduler.firing.outcomes import Outcomes
from services.scheduler.firing.owned import OwnedShards
from services.scheduler.firing.past import Past
from services.scheduler.firing.quotas import Quotas
from services.scheduler.firing.rounds import Rounds
from services.scheduler.firing.settler import Settler
from services.scheduler.firing.shard_jobs import ShardJobs
from services.scheduler.firing.shards import ShardRunner
from services.scheduler.firing.ticker import Ticker
from services.scheduler.firing.unforeseen import Unforeseen
from services.scheduler.firing.watermarks import Watermarks
from services.scheduler.policies.questions import Questions
from services.scheduler.policies.run_gate import RunGate
from services.scheduler.policies.run_questions import RunQuestions
from services.scheduler.ports.ledger import Ledger
from services.scheduler.ports.policies import Loads
from services.scheduler.settings import SchedulerSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Firing:
    """The loops that fire, and how they stop: `hand_over` gives every shard to the other replicas.

    `loads` say how much is under way here.
    """

    loops: Mapping[str, Callable[[], Awaitable[None]]]
    hand_over: Callable[[], Awaitable[None]]
    loads: Loads


def build_firing(
    node: Node, settings: SchedulerSettings, stores: Stores, ledger: Ledger, policies: PolicyParts, shard_count: int
) -> Firing:
    """The firing path of a replica."""
    clock, lease = node.clock, node.lease
    claims: dict[int, Claim] = {}

    def is_valid(shard: int, epoch: int) -> bool:
        claim = claims.get(shard)
        return claim is not None and claim.epoch == epoch and ownership.is_valid(claim)

    async def own(claim: Claim) -> None:
        claims[claim.shard] = claim
        await stores.ready()
        await runner.run(claim.shard, claim.epoch)

    def lease_generation() -> int:
        return lease.generation if lease.is_trusted() else 0

    peers, dispatchers = node.watch("scheduler"), node.watch("dispatcher")
    timeline, owned = Timeline(), OwnedShards(is_valid)
    notes, settler = Notes(ledger, clock), Settler(stores.triggers, clock)
    outcomes = Outcomes(owned, settler, notes)
    outbox = Outbox(owned, outcomes, limit=settings.most_queued)
    pool = DispatcherPool(dispatchers, node.channel, outbox, clock)
    quotas = Quotas(stores.quotas, stores.namespace_book, node.member.instance, lease_generation, clock)
    follow_ups = FollowUps(stores.follow_ups, stores.dependants, ledger, stores.jobs, clock)
    rounds = Rounds(stores.rounds, stores.jobs, clock)
    completions = Completions(
        owned=owned, outbox=outbox, ends=outcomes, notes=notes, settler=settler, store=stores.completions, clock=clock
    )
    loads = RunLoads()
    run_gate = build_run_gate(stores, policies, loads, clock)
    admission = Admission(
        owned=owned, outbox=outbox, notes=notes, settler=settler, policies=run_gate, quotas=quotas,
        followers=follow_ups, accepted=completions, clock=clock,
    )  # fmt: skip
    run_gate.on_verdict(admission.judged)
    loads.count_by(admission.load_of)
    outcomes.subscribe(completions.accept, admission.ended)
    quotas.on_change(admission.quota_changed)
    absences = Absences(owned, notes, clock)
    watermarks = Watermarks(store=stores.shards, owned=owned, clock=clock, interval=settings.watermark_interval)
    ticker = Ticker(
        timeline=timeline, owned=owned, admission=admission, outbox=outbox, notes=notes, clock=clock,
        grace=settings.grace_period, longest_nap=settings.watermark_interval / 2,
    )  # fmt: skip
    orders = Orders(
        jobs=stores.jobs, calendars=stores.calendar_book, admission=admission, notes=notes, settler=settler,
        followers=follow_ups, completions=completions, signals=rounds, clock=clock,
    )  # fmt: skip
    endings = Endings(
        timeline=timeline, notes=notes, shards=stores.shards, clock=clock, grace=settings.grace_period
    )  # fmt: skip
    past = Past(stores.versions, stores.shards)
    begun = BegunVersions(stores.versions)
    shard_jobs = ShardJobs(
        timeline=timeline, absences=absences, past=past, endings=endings, admission=admission, rounds=rounds,
        calendars=stores.calendar_book, clock=clock,
    )  # fmt: skip
    unforeseen = Unforeseen(ledger=ledger, dependants=stores.dependants, resume=follow_ups.resume, clock=clock)
    runner = ShardRunner(
        shards=stores.shards, jobs=stores.jobs, calendars=stores.calendar_book, ledger=ledger, dispatchers=pool,
        owned=owned, shard_jobs=shard_jobs, past=past, begun=begun, endings=endings,
        admission=admission, orders=orders, follow_ups=follow_ups, rounds=rounds, unforeseen=unforeseen,
        outbox=outbox, watermarks=watermarks, clock=clock,
    )  # fmt: skip
    ownership = ShardOwnership(node.etcd, lease, peers, node.member, shard_count, own, clock)
    parts = FiringParts(
        timeline=timeline, owned=owned, outbox=outbox, admission=admission, completions=completions, notes=notes,
        settler=settler, ownership=ownership, dispatchers=dispatchers, begun=begun,
    )  # fmt: skip
    measure(owned, timeline, outbox, completions, run_gate, clock)
    loops = {
        "peers": peers.run,
        "dispatchers": dispatchers.run,
        "links": pool.run,
        "notes": notes.run,
        "settler": settler.run,
        "watermarks": watermarks.run,
        "absences": absences.run,
        "quotas": quotas.run,
        "run gate": run_gate.run,
        "admission": admission.run,
        "completions": completions.run,
        "follow-ups": follow_ups.run,
        "rounds": rounds.run,
        "ticker": ticker.run,
        "ownership": ownership.run,
        **scan_loops(node, settings, ledger, parts),
    }
    return Firing(loops=loops, hand_over=ownership.hand_over, loads=loads)


def build_run_gate(stores: Stores, policies: PolicyParts, loads: Loads, clock: Clock) -> RunGate:
    """What asks policies before each run."""
    questions = Questions(stores.calendar_book, policies.hosts, loads, clock)
    return RunGate(
        book=stores.policy_book,
        policies=policies.client,
        facts=RunQuestions(questions, stores.versions, stores.calendar_book, loads, clock),
        namespaces=stores.namespace_book,
        accounts=policies.accounts,
        clock=clock,
    )


def measure(
    owned: OwnedShards, timeline: Timeline, outbox: Outbox, completions: Completions, run_gate: RunGate, clock: Clock
) -> None:
    """Lets the gauges look when they are asked."""

    def watermark_lag() -> float:
        now_us = microseconds(clock.now())
        return max((now_us - shard.watermark_us() for shard in owned), default=0) / 1e6

    metrics.SHARDS.set_function(lambda: len(owned))
    metrics.JOBS.set_function(lambda: len(timeline))
    metrics.QUEUED.set_function(lambda: outbox.queued)
    metrics.UNJUDGED.set_function(lambda: run_gate.waiting)
    metrics.OUTSTANDING.set_function(lambda: outbox.outstanding)
    metrics.ACCEPTED.set_function(lambda: completions.count)
    metrics.WATERMARK_LAG.set_function(watermark_lag)
