"""The commands of a page, and what the page says they print."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FENCE = re.compile(r"^```(.*?)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A block of commands, and the `text` block right after it: what is printed, `…` standing for anything."""

    commands: str
    printed: str = ""

    def missing_in(self, output: str) -> list[str]:
        """The lines that should have been printed and were not. White space does not count."""
        squeezed = " ".join(output.split())
        lines = [" ".join(line.split()) for line in self.printed.splitlines()]
        return [line for line in lines if not re.search(re.escape(line).replace("…", ".*?"), squeezed)]


def blocks(page: Path, kind: str) -> Iterator[Block]:
    """Every block of a page whose fence says `kind`, in order."""
    text = page.read_text()
    fences = list(FENCE.finditer(text))
    for fence, following in zip(fences, [*fences[1:], None], strict=True):
        if fence.group(1) != kind:
            continue
        is_output = (
            following is not None and following.group(1) == "text" and not text[fence.end() : following.start()].strip()
        )
        yield Block(commands=fence.group(2), printed=following.group(2) if following and is_output else "")
