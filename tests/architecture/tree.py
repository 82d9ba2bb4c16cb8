"""The source tree as tests see it."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE_ROOTS = ("libs", "services", "cli", "bench", "deploy")
SERVICES = sorted(path.parent.name for path in ROOT.glob("services/*/__init__.py"))


def source_files(*roots: str) -> list[Path]:
    """Every Python file under the given folders, or under all that hold source."""
    return sorted(path for root in roots or SOURCE_ROOTS for path in (ROOT / root).rglob("*.py"))


def shown(path: Path) -> str:
    """A path as a reader knows it."""
    return str(path.relative_to(ROOT))


def definitions(path: Path) -> Iterator[ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every class and function that a file defines, nested ones too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def markdown_files() -> list[Path]:
    """Every page that people read."""
    return sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")])
