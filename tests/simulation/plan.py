"""What happens in one simulated world, drawn from its seed: jobs, calls, faults, and how fast time goes by."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from tests.faults.history import SECOND_US, CallKind, Concurrency, Guarantee, JobRules, MissedPolicy
from tests.simulation.endpoint import End, Manner

SCHEDULERS = ("scheduler-0", "scheduler-1", "scheduler-2")
DISPATCHERS = ("dispatcher-0", "dispatcher-1")
HISTORIES = ("history-0", "history-1")
MEMBERS = ("etcd-0", "etcd-1", "etcd-2")
SERVICES = (*SCHEDULERS, *DISPATCHERS, *HISTORIES)
DATABASE = "database"
ALWAYS_FAILS = 999
MOST_LOST_ANSWERS = 5
CHANCE_OF_CALL_AMID = 0.6
CHANCE_OF_ACCEPTING = 0.25
CHANCE_OF_CANCELLING = 0.5


class FaultKind(StrEnum):
    """What can go wrong."""

    KILL = "kill"
    RESTART = "restart"
    PAUSE = "pause"
    CUT = "cut"
    ONE_WAY = "one-way cut"
    NO_ETCD = "cut off from etcd"
    SLOW = "slow network"
    STALL = "stalled link"
    ETCD_KILL = "etcd member killed"
    ETCD_PAUSE = "etcd member paused"
    ETCD_LEADER = "etcd leader lost"
    ETCD_COMPACT = "etcd compacted"
    ETCD_CUT = "etcd member cut off"
    ETCD_LAG = "etcd member behind"
    ETCD_WATCHES = "etcd watches late"
    ETCD_ANSWERS = "etcd answers lost"
    LEDGER_FULL = "ledger full"
    FAILING = "endpoint failing"
    HANGING = "endpoint hanging"
    LATE_ANSWERS = "endpoint slow"
    CLOCK = "clock jump"


WEIGHTS = {
    FaultKind.KILL: 6, FaultKind.RESTART: 3, FaultKind.PAUSE: 5, FaultKind.CUT: 5, FaultKind.ONE_WAY: 3,
    FaultKind.NO_ETCD: 3, FaultKind.SLOW: 2, FaultKind.STALL: 3, FaultKind.ETCD_KILL: 2, FaultKind.ETCD_PAUSE: 1,
    FaultKind.ETCD_LEADER: 2, FaultKind.ETCD_COMPACT: 2, FaultKind.ETCD_CUT: 2, FaultKind.ETCD_LAG: 1,
    FaultKind.ETCD_WATCHES: 2, FaultKind.ETCD_ANSWERS: 2, FaultKind.LEDGER_FULL: 2, FaultKind.FAILING: 2,
    FaultKind.HANGING: 1, FaultKind.LATE_ANSWERS: 2, FaultKind.CLOCK: 1,
}  # fmt: skip
"""How often each kind is drawn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How time passes: short leases and jobs by the second, or long ones and jobs by the day."""

    name: str
    start: datetime
    lease: timedelta
    grace: timedelta
    watermark: timedelta
    span: timedelta
    """From the first job to the last fault."""
    settle: timedelta
    """What the world gets to recover, with nothing broken."""
    schedules: tuple[tuple[str, str], ...]
    """Schedules with their time zones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedJob:
    """A job, and how the endpoint treats its runs."""

    id: str
    rules: JobRules
    manner: Manner
    timeout: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedCall:
    """A call to be made about a job, `at` seconds after the start."""

    at: float
    kind: CallKind
    job: str
    schedule: str = ""
    timezone: str = "UTC"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Something that is broken from `at` on (seconds after the start) for so many seconds."""

    kind: FaultKind
    at: float
    seconds: float
    nodes: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    amount: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything that a seed decides ahead."""

    seed: int
    pace: Pace
    shards: int
    jobs: tuple[PlannedJob, ...]
    calls: tuple[PlannedCall, ...]
    faults: tuple[Fault, ...]
    clock_errors: dict[str, float]
    """Seconds by which the wall clocks of nodes are wrong from the beginning."""

    @property
    def clock_error(self) -> float:
        """The worst error of a wall clock at any time, in seconds."""
        jumps = [abs(fault.amount) for fault in self.faults if fault.kind is FaultKind.CLOCK]
        return max(map(abs, self.clock_errors.values()), default=0.0) + sum(jumps)


BRISK = Pace(
    name="brisk",
    start=datetime(2026, 3, 3, 12, tzinfo=UTC),
    lease=timedelta(seconds=2),
    grace=timedelta(seconds=60),
    watermark=timedelta(milliseconds=500),
    span=timedelta(seconds=45),
    settle=timedelta(seconds=50),
    schedules=tuple((text, "UTC") for text in (
        "* * * * * *", "*/2 * * * * *", "*/3 * * * * *", "1/5 * * * * *", "@every 2s", "@every 7s", "*/10 * * * * *",
    )),
)  # fmt: skip
CALM = Pace(
    name="calm",
    start=datetime(2026, 3, 3, 12, tzinfo=UTC),
    lease=timedelta(seconds=60),
    grace=timedelta(minutes=10),
    watermark=timedelta(seconds=15),
    span=timedelta(hours=2),
    settle=timedelta(minutes=30),
    schedules=tuple((text, "UTC") for text in (
        "*/5 * * * *", "*/7 * * * *", "3-59/10 * * * *", "@every 4m", "@every 17m", "0 * * * *", "30 15 * * * *",
    )),
)  # fmt: skip
CALENDAR = Pace(
    name="calendar",
    start=datetime(2026, 3, 28, 12, tzinfo=UTC),
    lease=timedelta(minutes=5),
    grace=timedelta(hours=1),
    watermark=timedelta(minutes=1),
    span=timedelta(hours=30),
    settle=timedelta(hours=3),
    schedules=(
        ("30 2 * * *", "Europe/Berlin"), ("15 * * * *", "Europe/Berlin"), ("0 3 * * *", "America/New_York"),
        ("*/30 1-3 * * *", "America/New_York"), ("0 0 29 2 *", "UTC"), ("0 0 1 1 *", "UTC"), ("0 0 L * *", "UTC"),
        ("59 23 31 12 *", "Asia/Kolkata"), ("0 12 * * *", "Pacific/Auckland"), ("@every 45m", "UTC"),
        ("20 0 * * *", "Australia/Lord_Howe"), ("*/20 * * * *", "UTC"),
    ),
)  # fmt: skip
BEGINNINGS = tuple(datetime.fromisoformat(f"{day}T06:00:00+00:00") for day in (
    "2026-03-28", "2026-10-24", "2026-03-07", "2026-10-31", "2028-02-28", "2027-02-28", "2026-12-31", "2026-04-04",
    "2026-10-03", "2027-12-31", "2100-02-28",
))  # fmt: skip


def draw(seed: int, pace_name: str = "") -> Plan:
    """The plan of a seed; a given pace replaces the drawn one."""
    dice = random.Random(f"plan {seed}")
    paces = {BRISK.name: BRISK, CALM.name: CALM, CALENDAR.name: CALENDAR}
    drawn = dice.choices((BRISK, CALM, CALENDAR), (20, 3, 2))[0]
    pace = paces[pace_name] if pace_name else drawn
    if pace is CALENDAR:
        pace = replace(CALENDAR, start=dice.choice(BEGINNINGS))
    jobs = tuple(_job(dice, pace, number) for number in range(dice.randint(3, 7)))
    faults = tuple(sorted(_faults(dice, pace), key=lambda fault: fault.at))
    calls = [*_calls(dice, pace, jobs), *_calls_amid(dice, pace, jobs, faults)]
    shards = dice.choice((1, 2, 4))
    clock_errors = {node: dice.uniform(-0.02, 0.02) for node in SERVICES}
    later = random.Random(f"later {seed}")  # what follows joined the worlds later: the rest of each stays as it was
    jobs = tuple(_accepting(later, pace, job) for job in jobs)
    followers = _followers(later, pace, jobs)
    calls += _calls_of_followers(later, pace, followers)
    calls += _cancellations(later, pace, (*jobs, *followers))
    return Plan(
        seed=seed,
        pace=pace,
        shards=shards,
        jobs=(*jobs, *followers),
        calls=tuple(sorted(calls, key=lambda call: call.at)),
        faults=faults,
        clock_errors=clock_errors,
    )


def _job(dice: random.Random, pace: Pace, number: int) -> PlannedJob:
    schedule, timezone = dice.choice(pace.schedules)
    step = pace.lease.total_seconds() / 2
    failures = dice.choices((0, 1, 2, ALWAYS_FAILS), (12, 2, 1, 1))[0]
    seconds = dice.choices((0.02, 0.3 * step, 2.5 * step), (6, 2, 2))[0]
    rules = JobRules(
        schedule=schedule,
        timezone=timezone,
        guarantee=dice.choices((Guarantee.AT_LEAST_ONCE, Guarantee.AT_MOST_ONCE), (2, 1))[0],
        concurrency=dice.choice(list(Concurrency)),
        missed=dice.choices(list(MissedPolicy), (1, 3, 2))[0],
        max_attempts=dice.randint(1, 3),
        grace_us=pace.grace // timedelta(microseconds=1),
    )
    return PlannedJob(
        id=f"job-{number}",
        rules=rules,
        manner=Manner(seconds=seconds, failures=failures),
        timeout=timedelta(seconds=max(2.0, 10 * step)),
    )


def _calls(dice: random.Random, pace: Pace, jobs: Sequence[PlannedJob]) -> list[PlannedCall]:
    """Changes of some jobs; the first seconds belong to their creation."""
    span = pace.span.total_seconds()
    return [_call(dice, pace, jobs, dice.uniform(0.05, 1.0) * span) for _ in range(dice.randint(0, 8))]


def _calls_amid(
    dice: random.Random, pace: Pace, jobs: Sequence[PlannedJob], faults: Sequence[Fault]
) -> list[PlannedCall]:
    """Changes while something is broken, or just after: that is when they are hard to keep to."""
    return [
        _call(dice, pace, jobs, fault.at + dice.uniform(0.0, 1.2) * fault.seconds)
        for fault in faults
        if dice.random() < CHANCE_OF_CALL_AMID
    ]


def _call(dice: random.Random, pace: Pace, jobs: Sequence[PlannedJob], at: float) -> PlannedCall:
    kinds = (CallKind.UPDATE, CallKind.PAUSE, CallKind.RESUME, CallKind.DELETE, CallKind.CREATE, CallKind.TRIGGER)
    schedule, timezone = dice.choice(pace.schedules)
    return PlannedCall(
        at=at,
        kind=dice.choices(kinds, (4, 3, 3, 2, 2, 5))[0],
        job=dice.choice(jobs).id,
        schedule=schedule,
        timezone=timezone,
    )


def _accepting(dice: random.Random, pace: Pace, job: PlannedJob) -> PlannedJob:
    """Some targets only accept the work, and tell its end: before they answer, later, too late or never."""
    if dice.random() >= CHANCE_OF_ACCEPTING:
        return job
    step = pace.lease.total_seconds() / 2
    seconds = dice.choices((0.5 * job.manner.seconds, job.manner.seconds + step, 5 * step, 12 * step), (2, 4, 3, 1))[0]
    end = dice.choices((End.SUCCESS, End.FAILED, End.NEVER), (6, 2, 1))[0]
    manner = replace(job.manner, completes_after=seconds, end=end)
    return replace(job, manner=manner, rules=replace(job.rules, completion_us=round(8 * step * SECOND_US)))


def _followers(dice: random.Random, pace: Pace, jobs: Sequence[PlannedJob]) -> tuple[PlannedJob, ...]:
    """Jobs that run after another one, which may be such a job itself."""
    found: list[PlannedJob] = []
    for _ in range(dice.choice((0, 1, 1, 2))):
        parent = dice.choice([*jobs, *found])
        job = _job(dice, pace, len(jobs) + len(found))
        rules = replace(job.rules, schedule="", timezone="UTC", depends_on=(f"default/{parent.id}",), max_queued_runs=1)
        found.append(_accepting(dice, pace, replace(job, rules=rules)))
    return tuple(found)


def _calls_of_followers(dice: random.Random, pace: Pace, jobs: Sequence[PlannedJob]) -> list[PlannedCall]:
    kinds = (CallKind.PAUSE, CallKind.RESUME, CallKind.DELETE, CallKind.CREATE, CallKind.TRIGGER)
    return [
        PlannedCall(
            at=dice.uniform(0.05, 1.0) * pace.span.total_seconds(),
            kind=dice.choices(kinds, (3, 4, 1, 2, 2))[0],
            job=job.id,
        )
        for job in jobs
        for _ in range(dice.randint(0, 3))
    ]


def _cancellations(dice: random.Random, pace: Pace, jobs: Sequence[PlannedJob]) -> list[PlannedCall]:
    """A run is asked for, and cancelled a moment later."""
    calls: list[PlannedCall] = []
    if dice.random() < CHANCE_OF_CANCELLING:
        at, job = dice.uniform(0.05, 1.0) * pace.span.total_seconds(), dice.choice(jobs).id
        calls.append(PlannedCall(at=at, kind=CallKind.TRIGGER, job=job))
        seconds = dice.choice((0.0, 0.5, 2.0)) * pace.lease.total_seconds()
        calls.append(PlannedCall(at=at + dice.uniform(0.0, 1.0) * seconds, kind=CallKind.CANCEL, job=job))
    return calls


def _faults(dice: random.Random, pace: Pace) -> list[Fault]:
    span, lease = pace.span.total_seconds(), pace.lease.total_seconds()
    faults = []
    for _ in range(dice.randint(0, 8)):
        seconds = dice.choice((0.3, 1.5, 3.0, 6.0)) * lease * dice.uniform(0.5, 1.5)
        faults.append(_fault(dice, dice.uniform(0.05, 0.95) * span, seconds, lease))
    return faults


def _fault(dice: random.Random, at: float, seconds: float, lease: float) -> Fault:
    kind = dice.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
    nodes: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    amount = 0.0
    everybody = [*SERVICES, *MEMBERS, DATABASE]
    match kind:
        case FaultKind.KILL | FaultKind.RESTART | FaultKind.PAUSE | FaultKind.CLOCK:
            nodes = (dice.choices(SERVICES, (3, 3, 3, 3, 3, 1, 1))[0],)
            amount = dice.choice((-1, 1)) * dice.uniform(0.1, 3.0) * lease if kind is FaultKind.CLOCK else 0.0
        case FaultKind.CUT | FaultKind.ONE_WAY:
            size = dice.choice((1, 1, len(everybody) // 2))
            alone = SCHEDULERS if dice.random() < 0.5 else SERVICES
            nodes = tuple(sorted(dice.sample(everybody if size > 1 else alone, size)))
            rest = [node for node in everybody if node not in nodes]
            others = tuple(rest) if size > 1 or dice.random() < 0.5 else tuple(sorted(dice.sample(rest, 3)))
        case FaultKind.NO_ETCD:
            nodes, others = (dice.choices(SERVICES, (4, 4, 4, 1, 1, 1, 1))[0],), MEMBERS
        case FaultKind.SLOW:
            nodes, others, amount = tuple(everybody), tuple(everybody), dice.uniform(0.05, 0.3) * lease
        case FaultKind.STALL:
            nodes, others = (dice.choice(SCHEDULERS),), (dice.choice(DISPATCHERS),)
        case FaultKind.ETCD_KILL | FaultKind.ETCD_PAUSE | FaultKind.ETCD_CUT | FaultKind.ETCD_LAG:
            nodes = (dice.choice(MEMBERS),)
        case FaultKind.ETCD_ANSWERS:
            amount = float(dice.randint(1, MOST_LOST_ANSWERS))
        case _:
            pass
    return Fault(kind=kind, at=at, seconds=seconds, nodes=nodes, others=others, amount=amount)
