"""What a picture of a history shows: a lane for each job, a mark for each run and each target."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from tests.faults.checks.duplicates import raw_repeats
from tests.faults.checks.evidence import JobEvidence, Scene
from tests.faults.verdict import Verdict

MOST_MARKS = 240
"""A lane with more marks than this is drawn in bins."""
BINS = 400


class Look(IntEnum):
    """What became of a run; of several in one place, the highest shows."""

    ON_TIME = 0
    EXPLAINED = 1
    LATE_IN_FAULT = 2
    DUPLICATE = 3
    VIOLATION = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """One or several runs at one place of a lane. `words` tell more, and are empty for an ordinary run."""

    at_us: int
    look: Look
    runs: int = 1
    words: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """A job. `is_binned`: its marks stand for several runs each."""

    job: str
    marks: tuple[Mark, ...]
    is_binned: bool

    @property
    def violations(self) -> int:
        """How many of its marks show a violation."""
        return sum(mark.runs for mark in self.marks if mark.look is Look.VIOLATION)


def lanes(scene: Scene, verdict: Verdict) -> list[Lane]:
    """The lanes, jobs with violations first."""
    wrong: dict[str, dict[int, str]] = defaultdict(dict)
    for violation in verdict.violations:
        wrong[violation.job][violation.at_us] = f"{violation.kind}: {violation.sentence}"
    span = scene.history.began_us, scene.history.ended_us
    found = [_lane(job.job, list(_marks(job, scene, wrong[job.job])), *span) for job in scene.jobs]
    return sorted(found, key=lambda lane: (-lane.violations, lane.job))


def _marks(job: JobEvidence, scene: Scene, wrong: dict[int, str]) -> Iterator[Mark]:
    left = dict(wrong)
    for moment_us in sorted({*job.due.must, *(run.scheduled_us for run in job.runs if run.arrivals)}):
        runs = [run for run in job.by_time.get(moment_us, []) if run.arrivals]
        if words := left.pop(moment_us, ""):
            yield Mark(at_us=moment_us, look=Look.VIOLATION, words=words)
        elif not runs:
            is_target = moment_us in job.by_time or job.covering(moment_us)
            yield Mark(at_us=moment_us, look=Look.EXPLAINED if is_target else Look.ON_TIME, words="")
        elif any(True for run in runs for _ in raw_repeats(run)):
            yield Mark(at_us=moment_us, look=Look.DUPLICATE, words="came twice, in a fault")
        else:
            late_us = min(run.arrivals[0].began_us for run in runs) - moment_us
            look = Look.LATE_IN_FAULT if late_us > scene.limits.epsilon_us else Look.ON_TIME
            yield Mark(at_us=moment_us, look=look, words=f"late by {late_us / 1e6:.3f} s" if late_us > 0 else "")
    for moment_us, words in left.items():
        yield Mark(at_us=moment_us, look=Look.VIOLATION, words=words)


def _lane(job: str, marks: list[Mark], began_us: int, ended_us: int) -> Lane:
    if len(marks) <= MOST_MARKS:
        return Lane(job=job, marks=tuple(sorted(marks, key=lambda mark: mark.look)), is_binned=False)
    width_us = max(1, -(-(ended_us - began_us) // BINS))
    counts: Counter[tuple[int, Look]] = Counter()
    for mark in marks:
        counts[(mark.at_us - began_us) // width_us, mark.look] += mark.runs
    binned = [
        Mark(at_us=began_us + place * width_us, look=look, runs=runs)
        for (place, look), runs in sorted(counts.items(), key=lambda item: item[0][1])
    ]
    return Lane(job=job, marks=tuple(binned), is_binned=True)
