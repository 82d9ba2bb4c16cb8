"""What was measured, in words and numbers."""

from collections import Counter
from dataclasses import dataclass

from bench.load import Recorded
from bench.receiver import Arrival


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run: the window in Unix seconds, what arrived, what was recorded, CPU in percent of a core."""

    jobs: int
    start: float
    end: float
    arrivals: list[Arrival]
    recorded: Recorded
    cpu: dict[str, float]


def print_report(run: Run) -> None:
    """Prints the figures of a run. Lateness is taken at the receiver, from the scheduled time to the log line."""
    window = run.end - run.start
    due = [arrival for arrival in run.arrivals if run.start <= arrival.scheduled < run.end]
    counts = Counter(arrival.execution_id for arrival in due)
    late = sorted(1000 * (arrival.at - arrival.scheduled) for arrival in due)
    recorded = run.recorded.succeeded.keys()
    print(f"\nwindow                 {window:.1f} s")
    print(f"due                    about {run.jobs * window:,.0f}")
    print(f"delivered              {len(counts):,} executions, {len(counts) / window:,.0f}/s")
    print(f"recorded as SUCCESS    {len(recorded):,}, {len(recorded) / window:,.0f}/s")
    print(f"recorded otherwise     {_counts(run.recorded.by_status)}")
    print(f"delivered twice        {sum(1 for count in counts.values() if count > 1):,}")
    print(f"delivered, no record   {len(counts.keys() - recorded):,}")
    print(f"recorded, not arrived  {len(recorded - counts.keys()):,}")
    if late:
        print(f"lateness at receiver   p50 {_quantile(late, 0.5):.0f} ms, p99 {_quantile(late, 0.99):.0f} ms, "
              f"max {late[-1]:.0f} ms")  # fmt: skip
        print(f"early (by over 1 ms)   {sum(1 for ms in late if ms < -1):,}")
    print("CPU, % of one core     " + ", ".join(f"{name} {percent:.0f}" for name, percent in sorted(run.cpu.items())))
    print(f"CPU in all             {sum(run.cpu.values()):.0f} %")


def _counts(by_status: Counter[str]) -> str:
    others = {status: count for status, count in by_status.items() if status != "SUCCESS"}
    return ", ".join(f"{count:,} {status}" for status, count in sorted(others.items())) or "0"


def _quantile(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
