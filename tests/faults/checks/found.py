"""How a check says what is wrong with a run."""

from tests.faults.checks.evidence import JobEvidence, Run
from tests.faults.verdict import Violation, ViolationKind

Found = tuple[ViolationKind, str]


def at_run(job: JobEvidence, run: Run, found: Found) -> Violation:
    """The violation, at the scheduled time of the run."""
    kind, sentence = found
    return Violation(kind=kind, job=job.job, execution_id=run.execution_id, at_us=run.scheduled_us, sentence=sentence)
