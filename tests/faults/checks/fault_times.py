"""When something was broken, or recovering."""

from bisect import bisect_left, bisect_right

from tests.faults.history import FaultSpan, Limits


class FaultTimes:
    """Fault spans with their recovery, joined where they touch."""

    def __init__(self, faults: tuple[FaultSpan, ...], limits: Limits) -> None:
        self._begins: list[int] = []
        self._ends: list[int] = []
        self._clocks = [fault for fault in faults if fault.clock_behind_us]
        for fault in sorted(faults, key=lambda fault: fault.began_us):
            recovery = limits.recovery_us if fault.recovery_us is None else fault.recovery_us
            end = fault.ended_us + recovery
            if self._ends and fault.began_us <= self._ends[-1]:
                self._ends[-1] = max(self._ends[-1], end)
            else:
                self._begins.append(fault.began_us)
                self._ends.append(end)

    def clock_behind(self, begin_us: int, end_us: int) -> int:
        """By how much a wall clock may have been behind between two moments."""
        return max(
            (
                fault.clock_behind_us
                for fault in self._clocks
                if fault.began_us <= end_us and fault.ended_us >= begin_us
            ),
            default=0,
        )

    def is_near(self, begin_us: int, end_us: int) -> bool:
        """Whether a fault or its recovery touches the time from `begin_us` to `end_us`."""
        place = bisect_left(self._ends, begin_us)
        return place < len(self._begins) and self._begins[place] <= end_us

    def calm_after(self, begin_us: int, end_us: int) -> int:
        """When all is well again after the faults that touch this time; `begin_us` when none does."""
        place = bisect_right(self._begins, end_us) - 1
        return self._ends[place] if place >= 0 and self._ends[place] >= begin_us else begin_us

    def trouble_before(self, moment_us: int) -> int:
        """When the trouble began that a moment lies in; the moment itself when it lies in none."""
        place = bisect_right(self._begins, moment_us) - 1
        return self._begins[place] if place >= 0 and self._ends[place] >= moment_us else moment_us
