"""What the checker found. `python -m tests.faults.verdict FILE.jsonl` judges a kept history again."""

import argparse
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

SECOND_US = 1_000_000
BUCKETS_US = (1_000, 10_000, 50_000, 100_000, 250_000, 500_000, *(n * SECOND_US for n in (1, 2, 5, 10, 30, 60)))
"""Upper ends of the histogram's buckets, inclusive; one more holds the rest."""
MOST_SHOWN = 20


class ViolationKind(StrEnum):
    """What a history may have done wrong."""

    MISSED = "MISSED"
    """A target was neither delivered nor did the ledger say why."""
    LATE = "LATE"
    UNEXPLAINED = "UNEXPLAINED"
    """The ledger gives a reason that was not true."""
    DOUBLE_ACCEPTED = "DOUBLE_ACCEPTED"
    """Two executions in the ledger for one scheduled time of a job, or for the runs that it follows."""
    DUPLICATE_OUTSIDE_FAULT = "DUPLICATE_OUTSIDE_FAULT"
    DUPLICATE_IDS = "DUPLICATE_IDS"
    """Two requests for one scheduled time, with different execution ids."""
    AT_MOST_ONCE_TWICE = "AT_MOST_ONCE_TWICE"
    EARLY = "EARLY"
    AFTER_PAUSE = "AFTER_PAUSE"
    AFTER_DELETE = "AFTER_DELETE"
    AFTER_UPDATE = "AFTER_UPDATE"
    NO_TARGET = "NO_TARGET"
    """A run that no version of the job asks for."""
    OVERLAP = "OVERLAP"
    FORBIDDEN = "FORBIDDEN"
    """A run began although a policy forbids it."""
    TRIGGER_LOST = "TRIGGER_LOST"
    COMPLETION_LOST = "COMPLETION_LOST"
    """A target told how a run ended, that was acknowledged, and the ledger says something else."""
    RETRIES = "RETRIES"
    """Given up before the retry policy says so."""
    NEVER_ENDED = "NEVER_ENDED"
    WRONG_RESULT = "WRONG_RESULT"
    """The ledger and the receiver contradict each other."""
    UNRECORDED = "UNRECORDED"
    """A run was delivered, and the ledger does not know it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """One thing that must not be."""

    kind: ViolationKind
    job: str
    execution_id: str
    at_us: int
    """The scheduled time, or when it was seen; microseconds since the Unix epoch."""
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Lateness:
    """How late first requests came in one phase. `counts`: one for each of BUCKETS_US, and one for the rest."""

    phase: str
    runs: int
    p50_us: int
    p99_us: int
    max_us: int
    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What was judged."""

    jobs: int = 0
    calls: int = 0
    arrivals: int = 0
    executions: int = 0
    """Different execution ids, at the receiver or in the ledger."""
    targets: int = 0
    """Those that must have happened."""
    optional_targets: int = 0
    """Those beside an unsure or recent change: they may have happened."""
    delivered: int = 0
    explained: int = 0
    triggers: int = 0
    duplicates_inside_faults: int = 0
    """Raw ones: the same request again although it had not failed."""
    duplicates_outside_faults: int = 0
    overlaps_inside_faults: int = 0
    reasons: tuple[tuple[str, int], ...] = ()
    """How often each reason explained a target."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The violations, oldest first; none means that the promises were kept."""

    violations: tuple[Violation, ...]
    counts: Counts
    lateness: tuple[Lateness, ...]

    @property
    def is_kept(self) -> bool:
        """Whether every promise was kept."""
        return not self.violations

    def by_kind(self) -> dict[ViolationKind, int]:
        """How many violations there are of each kind that occurs."""
        return dict(Counter(violation.kind for violation in self.violations))


def histogram(phase: str, lateness_us: Iterable[int]) -> Lateness:
    """Sums up how late the runs of a phase were; percentiles by the nearest rank."""
    values = sorted(lateness_us)
    counts, place = [], 0
    for bound in BUCKETS_US:
        begin = place
        while place < len(values) and values[place] <= bound:
            place += 1
        counts.append(place - begin)
    counts.append(len(values) - place)
    return Lateness(
        phase=phase,
        runs=len(values),
        p50_us=_rank(values, 50),
        p99_us=_rank(values, 99),
        max_us=values[-1] if values else 0,
        counts=tuple(counts),
    )


def _rank(values: list[int], percent: int) -> int:
    return values[max(0, -(-len(values) * percent // 100) - 1)] if values else 0


def report(verdict: Verdict) -> str:
    """The verdict in words, for a terminal."""
    counts = verdict.counts
    reasons = ", ".join(f"{reason} {number:,}" for reason, number in counts.reasons) or "none"
    lines = [
        "Every promise was kept." if verdict.is_kept else f"VIOLATIONS: {len(verdict.violations):,}",
        f"{counts.targets:,} targets of {counts.jobs:,} jobs: {counts.delivered:,} delivered, "
        f"{counts.explained:,} explained ({reasons}); {counts.optional_targets:,} more may have happened",
        f"{counts.arrivals:,} requests of {counts.executions:,} executions, {counts.triggers:,} triggers; duplicates: "
        f"{counts.duplicates_inside_faults:,} inside faults, {counts.duplicates_outside_faults:,} outside; "
        f"overlaps inside faults: {counts.overlaps_inside_faults:,}",
    ]
    lines += [
        f"{each.phase}: {each.runs:,} runs, late by {seconds(each.p50_us)} (p50), {seconds(each.p99_us)} (p99), "
        f"{seconds(each.max_us)} (most)"
        for each in verdict.lateness
        if each.runs
    ]
    lines += [f"{kind}: {number:,}" for kind, number in sorted(verdict.by_kind().items())]
    lines += [
        f"  {violation.kind} {violation.job} {violation.execution_id}: {violation.sentence}"
        for violation in verdict.violations[:MOST_SHOWN]
    ]
    if (left := len(verdict.violations) - MOST_SHOWN) > 0:
        lines.append(f"  and {left:,} more")
    return "\n".join(lines)


def seconds(span_us: int) -> str:
    """A span in seconds, to the millisecond."""
    return f"{span_us / SECOND_US:.3f} s"


def main(arguments: list[str]) -> int:
    """Judges the histories in files. Answers 1 when a promise was broken."""
    from tests.faults.checker import check  # it needs the types above
    from tests.faults.history import Limits, load
    from tests.faults.timeline_picture import write_picture

    parser = argparse.ArgumentParser(prog="python -m tests.faults.verdict", description=__doc__)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE.jsonl")
    parser.add_argument("--picture", type=Path, metavar="FILE.html", help="also draw the runs of the first history")
    parser.add_argument("--epsilon", type=float, default=1.0, metavar="SECONDS", help="latest run outside faults")
    parser.add_argument("--recovery", type=float, default=5.0, metavar="SECONDS", help="time to recover from a fault")
    options = parser.parse_args(arguments)
    limits = Limits(epsilon_us=int(options.epsilon * SECOND_US), recovery_us=int(options.recovery * SECOND_US))
    is_kept = True
    for number, file in enumerate(options.files):
        history = load(file)
        verdict = check(history, limits)
        print(f"{file}: {report(verdict)}")
        if options.picture is not None and number == 0:
            write_picture(options.picture, history, verdict, limits)
        is_kept = is_kept and verdict.is_kept
    return 0 if is_kept else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
