"""Nothing is doubled: not in the ledger, and at the receiver only around a fault."""

from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise

from tests.faults.checks.evidence import JobEvidence, Run, Scene, is_repeatable
from tests.faults.checks.tally import Tally
from tests.faults.history import Arrival, Guarantee, Record
from tests.faults.verdict import Violation, ViolationKind, seconds


def check_duplicates(job: JobEvidence, scene: Scene, tally: Tally) -> Iterator[Violation]:
    """DUPLICATE_OUTSIDE_FAULT, AT_MOST_ONCE_TWICE and DUPLICATE_IDS.

    A fault excuses a second request only when the first one was still on its way: what the ledger has, it has.
    """
    for run in job.runs:
        if len(run.arrivals) > 1:
            yield from _repeated(job, run, scene, tally)
    for moment_us, runs in job.by_time.items():
        if len(runs) > 1:
            yield from _two_ids(job, moment_us, runs)


def check_ledger(records: tuple[Record, ...]) -> Iterator[Violation]:
    """DOUBLE_ACCEPTED: one record for each execution, one execution for each scheduled time, one follower for runs."""
    ids: dict[str, int] = defaultdict(int)
    times: dict[tuple[str, int], set[str]] = defaultdict(set)
    followers: dict[tuple[str, tuple[str, ...]], set[str]] = defaultdict(set)
    for record in records:
        ids[record.execution_id] += 1
        if record.cause == "SCHEDULE":
            times[record.uid or record.job, record.scheduled_us].add(record.execution_id)
        if record.cause == "DEPENDENCY":
            followers[record.uid or record.job, record.parent_ids].add(record.execution_id)
    for record in records:
        moment, followed = (
            (record.uid or record.job, record.scheduled_us),
            (record.uid or record.job, record.parent_ids),
        )
        if ids.pop(record.execution_id, 0) > 1:
            sentence = "the ledger has the execution more than once"
        elif record.cause == "SCHEDULE" and len(times.get(moment, ())) > 1:
            sentence = f"the ledger has {len(times.pop(moment))} executions for one scheduled time"
        elif record.cause == "DEPENDENCY" and len(followers.get(followed, ())) > 1:
            sentence = f"the ledger has {len(followers.pop(followed))} executions that follow the same runs"
        else:
            continue
        yield Violation(
            kind=ViolationKind.DOUBLE_ACCEPTED,
            job=record.job,
            execution_id=record.execution_id,
            at_us=record.scheduled_us,
            sentence=sentence,
        )


def _repeated(job: JobEvidence, run: Run, scene: Scene, tally: Tally) -> Iterator[Violation]:
    rules = job.rules.rules(run.scheduled_us, run.scheduled_us)
    if rules and all(each.guarantee is Guarantee.AT_MOST_ONCE for each in rules):
        yield Violation(
            kind=ViolationKind.AT_MOST_ONCE_TWICE,
            job=job.job,
            execution_id=run.execution_id,
            at_us=run.arrivals[1].began_us,
            sentence=f"{len(run.arrivals)} requests came for one execution",
        )
    for before, arrival in raw_repeats(run):
        if scene.faults.is_near(before.began_us, _on_its_way_until(before, arrival, scene)):
            tally.duplicates_inside += 1
        else:
            tally.duplicates_outside += 1
            yield _outside(job, run, before, arrival)


def _on_its_way_until(before: Arrival, arrival: Arrival, scene: Scene) -> int:
    """Until when the ledger may not have had the answer to a request that `arrival` repeated."""
    if before.ended_us is None or is_repeatable(before):
        return arrival.began_us
    return min(before.ended_us + scene.limits.epsilon_us, arrival.began_us)


def raw_repeats(run: Run) -> Iterator[tuple[Arrival, Arrival]]:
    """Requests that are no retries, each with the one before: the same attempt again, or one after a good answer."""
    highest = 0
    for before, arrival in pairwise(run.arrivals):
        highest = max(highest, before.attempt)
        if arrival.attempt <= highest or not is_repeatable(before):
            yield before, arrival


def _outside(job: JobEvidence, run: Run, before: Arrival, arrival: Arrival) -> Violation:
    return Violation(
        kind=ViolationKind.DUPLICATE_OUTSIDE_FAULT,
        job=job.job,
        execution_id=run.execution_id,
        at_us=arrival.began_us,
        sentence=f"attempt {arrival.attempt} came {seconds(arrival.began_us - before.began_us)} after attempt "
        f"{before.attempt}, which was answered {before.status}, and no fault was near",
    )


def _two_ids(job: JobEvidence, moment_us: int, runs: list[Run]) -> Iterator[Violation]:
    sent = [run for run in runs if run.arrivals]
    uids = {run.record.uid if run.record is not None else "" for run in sent}
    if len(sent) > 1 and not (len(uids) == len(sent) and "" not in uids):
        yield Violation(
            kind=ViolationKind.DUPLICATE_IDS,
            job=job.job,
            execution_id=sent[1].execution_id,
            at_us=moment_us,
            sentence=f"requests came under {len(sent)} execution ids for one scheduled time: "
            + ", ".join(run.execution_id for run in sent),
        )
