"""Histories for tests of the checker: an orderly one, told in a few lines, to plant one wrong thing in."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from tests.faults.checker import check
from tests.faults.history import (
    SECOND_US,
    Arrival,
    Call,
    CallKind,
    FaultSpan,
    History,
    JobRules,
    Limits,
    Outcome,
    Phase,
    Record,
)
from tests.faults.targets import due_times
from tests.faults.verdict import Verdict, ViolationKind

BEGAN = datetime(2026, 3, 2, tzinfo=UTC)
BEGAN_US = int(BEGAN.timestamp()) * SECOND_US
JOB = "default/report"
EVERY_10_S = JobRules(schedule="*/10 * * * * *")


def at(seconds: float) -> int:
    """A moment, in seconds since the history began."""
    return BEGAN_US + round(seconds * SECOND_US)


@dataclass(slots=True)
class Story:
    """A history under construction. Times are seconds since its begin."""

    until: float = 120.0
    calls: list[Call] = field(default_factory=list)
    arrivals: list[Arrival] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    faults: list[FaultSpan] = field(default_factory=list)
    phases: list[Phase] = field(default_factory=list)

    def call(
        self,
        kind: CallKind,
        sent: float,
        *,
        job: str = JOB,
        rules: JobRules | None = None,
        outcome: Outcome = Outcome.ACKNOWLEDGED,
        version: int = 0,
        execution_id: str = "",
    ) -> None:
        """A call that is answered 20 ms later, unless its outcome is unknown."""
        answered = None if outcome is Outcome.UNKNOWN else at(sent + 0.02)
        self.calls.append(
            Call(
                kind=kind,
                job=job,
                sent_us=at(sent),
                answered_us=answered,
                outcome=outcome,
                rules=rules,
                version=version,
                execution_id=execution_id,
            )
        )

    def run(
        self,
        due: float,
        *,
        job: str = JOB,
        late: float = 0.01,
        takes: float = 0.05,
        status: str = "SUCCESS",
        answers: Iterable[int] = (200,),
        cause: str = "SCHEDULE",
        execution_id: str = "",
        uid: str = "",
    ) -> str:
        """A run with its requests, half a second apart, and its record. Answers with its id."""
        execution_id = execution_id or f"{job}@{due:g}"
        began, number = due + late, 0
        for number, answer in enumerate(answers, 1):
            self.arrivals.append(
                Arrival(
                    began_us=at(began),
                    ended_us=at(began + takes),
                    job=job,
                    execution_id=execution_id,
                    scheduled_us=at(due),
                    attempt=number,
                    status=answer,
                )
            )
            began += takes + 0.5
        self.record(
            due,
            status,
            job=job,
            cause=cause,
            execution_id=execution_id,
            uid=uid,
            attempts=number,
            completed=max(due + late, began - 0.5) if number else due,
        )
        return execution_id

    def record(
        self,
        due: float,
        status: str,
        reason_code: str = "REASON_UNSPECIFIED",
        *,
        job: str = JOB,
        cause: str = "SCHEDULE",
        execution_id: str = "",
        uid: str = "",
        attempts: int = 0,
        completed: float | None = None,
        until: float | None = None,
        count: int = 0,
        parent_ids: tuple[str, ...] = (),
    ) -> None:
        """A record of the ledger."""
        is_open = status in ("PENDING", "RUNNING")
        self.records.append(
            Record(
                execution_id=execution_id or f"{job}@{due:g}",
                job=job,
                uid=uid or f"uid of {job}",
                scheduled_us=at(due),
                status=status,
                reason_code=reason_code,
                cause=cause,
                attempts=attempts,
                completed_us=None if is_open else at(due if completed is None else completed),
                skipped_until_us=None if until is None else at(until),
                skipped_count=count,
                parent_ids=parent_ids,
            )
        )

    def fault(self, begin: float, end: float, kind: str = "kill -9 scheduler", *, clock_behind: float = 0.0) -> None:
        """A fault span."""
        behind_us = round(clock_behind * SECOND_US)
        span = FaultSpan(
            kind=kind, nodes=("scheduler-1",), began_us=at(begin), ended_us=at(end), clock_behind_us=behind_us
        )
        self.faults.append(span)

    def forget(self, due: float, job: str = JOB) -> None:
        """Takes a run out of the receiver's log and the ledger."""
        self.arrivals = [each for each in self.arrivals if (each.job, each.scheduled_us) != (job, at(due))]
        self.records = [each for each in self.records if (each.job, each.scheduled_us) != (job, at(due))]

    def change_arrival(self, due: float, change: Callable[[Arrival], Arrival]) -> None:
        """Replaces the requests of a run."""
        self.arrivals = [change(each) if each.scheduled_us == at(due) else each for each in self.arrivals]

    def change_record(self, due: float, change: Callable[[Record], Record]) -> None:
        """Replaces the record of a run."""
        self.records = [change(each) if each.scheduled_us == at(due) else each for each in self.records]

    def history(self) -> History:
        """All of it."""
        return History(
            calls=tuple(self.calls),
            arrivals=tuple(self.arrivals),
            records=tuple(self.records),
            faults=tuple(self.faults),
            phases=tuple(self.phases),
            began_us=at(0),
            judged_until_us=at(self.until),
            ended_us=at(self.until + 30),
        )

    def verdict(self, limits: Limits | None = None) -> Verdict:
        """What the checker says."""
        return check(self.history(), limits)

    def kinds(self, limits: Limits | None = None) -> list[ViolationKind]:
        """The kinds of violation found, each once, in alphabetical order."""
        return sorted(self.verdict(limits).by_kind())


def orderly(rules: JobRules = EVERY_10_S, *, until: float = 120.0, created: float = 0.5, job: str = JOB) -> Story:
    """A job that was created early on and whose every run was delivered 10 ms late."""
    story = Story(until=until)
    add_orderly(story, rules, created=created, job=job)
    return story


def add_orderly(story: Story, rules: JobRules = EVERY_10_S, *, created: float = 0.5, job: str = JOB) -> None:
    """Adds such a job."""
    rules = replace(rules, created_us=at(created))
    story.call(CallKind.CREATE, created, job=job, rules=rules, version=1)
    for due_us in due_times(rules, at(created + 0.02), at(story.until)):
        story.run((due_us - BEGAN_US) / SECOND_US, job=job)


def with_rules(**changes: object) -> JobRules:
    """A job of every ten seconds with other rules."""
    return replace(EVERY_10_S, **changes)  # type: ignore[arg-type]
