"""What the demo shows: a live table in a terminal, plain lines elsewhere."""

from collections import deque
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table

from cli.chronos.demo.evidence import FINAL, Summary

ROWS = 16
COLOURS = {"SUCCESS": "green", "RUNNING": "yellow", "PENDING": "yellow"}


class View:
    """Shows executions as they change. Use it as a context while they come in."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._rows: deque[dict[str, Any]] = deque(maxlen=ROWS)
        self._live = Live(console=console, refresh_per_second=8, get_renderable=self._table)

    def __enter__(self) -> "View":
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *exc: object) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def show(self, execution: dict[str, Any]) -> None:
        """An execution began or got further. Without a terminal only its end is shown."""
        for place, row in enumerate(self._rows):
            if row["id"] == execution["id"]:
                self._rows[place] = execution
                break
        else:
            self._rows.append(execution)
        if not self._console.is_terminal and execution.get("status") in FINAL:
            self._console.print("  ".join(cells(execution)), markup=False, highlight=False)

    def _table(self) -> Table:
        table = Table("due (UTC)", "job", "late", "status", "code", "attempts", box=None, padding=(0, 2))
        for execution in self._rows:
            table.add_row(*cells(execution), style=COLOURS.get(str(execution.get("status")), "red"))
        return table


def cells(execution: dict[str, Any]) -> tuple[str, ...]:
    """An execution in columns: due, job, lateness of its start, status, status code, attempts."""
    due = datetime.fromisoformat(execution["scheduled_time"])
    started = execution.get("started_at")
    late = (datetime.fromisoformat(started) - due).total_seconds() * 1000 if started else None
    return (
        due.strftime("%H:%M:%S.%f")[:12],
        f"{execution.get('job_id', ''):<13}",
        f"{late:+8.1f} ms" if late is not None else "          -",
        f"{execution.get('status', ''):<9}",
        f"{execution.get('status_code') or '-':>4}",
        str(execution.get("attempt_count", 0)),
    )


def summary_text(summary: Summary) -> str:
    """The figures at the end."""
    statuses = ", ".join(f"{count} as {status}" for status, count in sorted(summary.statuses.items()))
    lines = [
        f"{summary.calls} calls at the receiver; {summary.expected} runs were due until the jobs were disabled.",
        f"History recorded {statuses or 'nothing'}, {summary.retried} of them after a retry.",
        f"Lateness, measured at the receiver: p50 {summary.late_p50_ms:.1f} ms, p99 {summary.late_p99_ms:.1f} ms,"
        f" max {summary.late_max_ms:.1f} ms.",
        f"Missed: {len(summary.missed)}. Delivered twice: {summary.doubled}. Not recorded: {summary.unrecorded}."
        f" Wrong bodies: {summary.wrong_bodies}.",
        *(f"  missed {missed}" for missed in summary.missed[:10]),
    ]
    return "\n".join(lines)
