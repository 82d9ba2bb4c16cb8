"""Printing: tables for people; JSON and YAML, unchanged, for programs."""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.chronosctl.settings import OutputFormat

Row = Sequence[Any]
STYLES = {
    "SUCCESS": "green",
    "FAILED": "red",
    "TIMED_OUT": "red",
    "RUNNING": "cyan",
    "PENDING": "cyan",
    "SKIPPED": "yellow",
    "yes": "green",
    "no": "yellow",
}


class Output:
    """Where results go: standard output, in one format. Remarks go to standard error."""

    def __init__(self, chosen: OutputFormat) -> None:
        self.format = chosen
        # Into a pipe nothing is cut off: lines are as long as they are.
        width = None if sys.stdout.isatty() else 10_000
        self._console = Console(width=width, highlight=False, soft_wrap=True)
        self._remarks = Console(stderr=True, highlight=False, soft_wrap=True)

    @property
    def is_table(self) -> bool:
        """Whether a person reads it."""
        return self.format is OutputFormat.TABLE

    def value(self, value: Any) -> None:
        """Prints a value as JSON or YAML."""
        if self.format is OutputFormat.YAML:
            self.text(yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=120).rstrip("\n"))
        else:
            self.text(json.dumps(value, indent=2, ensure_ascii=False))

    def event(self, value: Any) -> None:
        """Prints one value of a stream: a line of JSON, or a YAML document."""
        if self.format is OutputFormat.YAML:
            self.text("---")
            self.value(value)
        else:
            self.text(json.dumps(value, ensure_ascii=False))

    def table(self, columns: Sequence[str], rows: Iterable[Row]) -> None:
        """Prints rows under their headings, or `(none)`."""
        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in columns:
            table.add_column(column, overflow="fold")
        for row in rows:
            table.add_row(*(_cell(value) for value in row))
        if table.row_count:
            self._console.print(table, soft_wrap=False)
        else:
            self._console.print("(none)")

    def facts(self, rows: Iterable[tuple[str, Any]]) -> None:
        """Prints names and values, those without a value left out."""
        table = Table(box=None, pad_edge=False, show_header=False)
        table.add_column(style="bold", no_wrap=True)
        table.add_column(overflow="fold")
        for name, value in rows:
            if value not in ("", None):
                table.add_row(name, _cell(value))
        self._console.print(table, soft_wrap=False)

    def line(self, row: Row, widths: Sequence[int]) -> None:
        """Prints one line of a table that grows."""
        line = Text("  ").join(
            Text(text := plain(" ".join(str(value).split())), STYLES.get(text, "")) + " " * max(0, width - len(text))
            for value, width in zip(row, widths, strict=True)
        )
        line.rstrip()
        self._console.print(line)
        self._console.file.flush()

    def text(self, text: str) -> None:
        """Prints text as it is."""
        self._console.file.write(text + "\n")
        self._console.file.flush()

    def say(self, remark: str, style: str = "") -> None:
        """Tells the person something that is no part of the result."""
        self._remarks.print(Text(remark, style))


def _cell(value: Any) -> Text:
    text = {True: "yes", False: "no", None: ""}.get(value, value) if isinstance(value, bool | None) else value
    return Text(plain(str(text)), STYLES.get(str(text), ""))


def plain(text: str) -> str:
    """Text that cannot command the terminal: an answer's body, for example, is somebody else's."""
    return "".join(c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text)
