"""Which version of a job counts at which moment."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from services.scheduler.domain.occurrence import FiringJob, MissedPolicy
from services.scheduler.domain.schedule.sequence import Schedule

MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Passed:
    """Occurrences of an earlier version that were dealt with although it was not in force any more, up to `until`."""

    schedule: Schedule
    until: datetime

    def has(self, moment: datetime) -> bool:
        """Whether the occurrence at a moment is among them."""
        return moment <= self.until and self.schedule.next_after(moment - MICROSECOND) == moment


@dataclass(frozen=True, slots=True, kw_only=True)
class Reign:
    """A version of a job while it is in force: its occurrences later than `after` and no later than `until` count.

    Those in `passed` do not: its owner did not know of the version yet, and ran an earlier one at that moment.
    """

    job: FiringJob
    after: datetime
    until: datetime | None = None
    passed: tuple[Passed, ...] = ()

    @property
    def schedule(self) -> Schedule | None:
        """The times of the version; None when it has none, or is disabled."""
        return self.job.schedule if self.job.is_enabled else None

    def next_after(self, moment: datetime) -> datetime | None:
        """Its first occurrence later than a moment."""
        schedule = self.schedule
        if schedule is None:
            return None
        found = schedule.next_after(max(moment, self.after))
        while self.passed and found is not None and any(passed.has(found) for passed in self.passed):
            found = schedule.next_after(found)
        return found if found is not None and (self.until is None or found <= self.until) else None

    def passed_since(self, moment: datetime, *, position: datetime) -> tuple[Passed, ...]:
        """What was dealt with past a moment, when the version itself has come as far as `position`."""
        known = [passed for passed in self.passed if passed.until > moment]
        if self.schedule is not None and position > moment:
            known.append(Passed(self.schedule, position))
        return tuple(known)


class Succession(Schedule):
    """The occurrences of versions that follow each other."""

    def __init__(self, reigns: Sequence[Reign]) -> None:
        self._reigns = reigns

    def next_after(self, moment: datetime) -> datetime | None:
        """See Schedule."""
        for reign in self._reigns:
            if reign.until is None or reign.until > moment:
                found = reign.next_after(moment)
                if found is not None:
                    return found
        return None


def reign_at(reigns: Sequence[Reign], moment: datetime) -> Reign:
    """The reign that a moment belongs to; the last one for a moment after all of them."""
    return next((reign for reign in reigns if reign.until is None or moment <= reign.until), reigns[-1])


def succeed(reigns: Sequence[Reign], job: FiringJob, *, since: datetime, position: datetime) -> tuple[Reign, ...]:
    """The reigns with a new version at their end, in force since a moment: the last one ends there.

    `position` is how far the last version has been dealt with.
    """
    last = reigns[-1]
    following = Reign(
        job=job, after=max(since, job.effective_at), passed=last.passed_since(since, position=position)
    )  # fmt: skip
    past = (*reigns[:-1], replace(last, until=since))
    return (*past, following)


def end(reigns: Sequence[Reign], until: datetime) -> tuple[Reign, ...]:
    """The reigns of a job that was deleted at a moment. None of them makes up for missed runs."""
    return tuple(
        replace(reign, until=until if reign.until is None else min(reign.until, until))
        for reign in give_up_late(reigns)
    )


def give_up_late(reigns: Sequence[Reign]) -> tuple[Reign, ...]:
    """The same reigns, none of which makes up for missed runs: for a job that is not to run any more."""
    return tuple(
        replace(reign, job=replace(reign.job, missed=replace(reign.job.missed, policy=MissedPolicy.IGNORE)))
        for reign in reigns
    )


def like_the_first(reigns: Sequence[Reign]) -> Sequence[Reign]:
    """The reigns, from the first on, that make up for missed runs by one set of rules."""
    for index, reign in enumerate(reigns):
        if reign.schedule is not None and reign.job.missed != reigns[0].job.missed:
            return reigns[:index]
    return reigns
