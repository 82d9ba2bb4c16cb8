"""Which runs must have happened, and which may have."""

from bisect import bisect_left, bisect_right
from functools import cached_property

from tests.faults.checks.rules_in_force import EVER_US, RulesInForce, Segment
from tests.faults.targets import due_times


class Due:
    """The targets of one job between two moments."""

    def __init__(self, rules: RulesInForce, begin_us: int, end_us: int) -> None:
        self._rules = rules
        self._begin_us = begin_us
        self._end_us = end_us
        must: list[int] = []
        may: set[int] = set()
        for segment in rules.segments:
            sure, possible = self._of(segment, end_us)
            must += sure
            may |= possible
        self.must = must
        """Targets that every possible version of the job has; rising."""
        self.may = may
        """Targets that some possible version has, and another has not."""

    def is_allowed(self, moment_us: int) -> bool:
        """Whether some version that may have been in force has this target, also after the judged time."""
        place = bisect_left(self.must, moment_us)
        if (place < len(self.must) and self.must[place] == moment_us) or moment_us in self.may:
            return True
        return any(
            due_times(state, moment_us, moment_us + 1)
            for segment in self._rules.allowed
            if segment.begin_us <= moment_us < segment.end_us
            for state in segment.states
            if state is not None and state.is_enabled
        )

    def is_known(self, moment_us: int) -> bool:
        """Whether any version that the job ever had has this target."""
        return any(due_times(rules, moment_us, moment_us + 1) for rules in self._rules.ever)

    def between(self, begin_us: int, end_us: int) -> int:
        """How many targets, sure ones, lie from `begin_us` on and before `end_us`."""
        return bisect_left(self.must, end_us) - bisect_left(self.must, begin_us)

    def up_to(self, after_us: int, until_us: int) -> int:
        """How many targets, also unsure ones, lie after one moment and until another."""
        return bisect_right(self._all, until_us) - bisect_right(self._all, after_us)

    @cached_property
    def _all(self) -> list[int]:
        return sorted({*self.must, *self.may})

    def _of(self, segment: Segment, end_us: int) -> tuple[list[int], set[int]]:
        begin_us, end_us = max(segment.begin_us, self._begin_us), min(segment.end_us, end_us, EVER_US)
        if begin_us >= end_us:
            return [], set()
        times = [
            due_times(state, begin_us, end_us) if state is not None and state.is_enabled else []
            for state in segment.states
        ]
        if len(times) == 1:
            return times[0], set()
        every = set(times[0]).intersection(*times[1:])
        return sorted(every), set().union(*times) - every
