"""Sizes and names."""

import ast
import re
from pathlib import Path

import pytest

from tests.architecture.tree import ROOT, SERVICES, definitions, shown, source_files

MOST_LINES = 400
BANNED_WORDS = {"util", "utils", "helper", "helpers", "manager", "impl", "misc"}
# As adjectives they may say something in the name of a function, never in that of a thing.
BANNED_IN_THINGS = BANNED_WORDS | {"common", "base"}
SKELETON = ("__init__.py", "__main__.py", "settings.py", "app.py", "servicer.py", "ports.py", "domain", "adapters")


def words(name: str) -> list[str]:
    return re.findall(r"[a-z]+|[A-Z][a-z]*", name)


def test_every_file_is_small() -> None:
    sizes = {shown(path): len(path.read_text().splitlines()) for path in source_files()}
    assert {name: size for name, size in sizes.items() if size >= MOST_LINES} == {}


def test_nothing_is_named_for_being_nothing_in_particular() -> None:
    files = [shown(path) for path in source_files() if set(words(path.stem)) & BANNED_IN_THINGS]
    names = [
        f"{shown(path)}: {node.name}"
        for path in source_files()
        for node in definitions(path)
        if {word.lower() for word in words(node.name)}
        & (BANNED_IN_THINGS if isinstance(node, ast.ClassDef) else BANNED_WORDS)
    ]
    assert files + names == []


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_has_the_skeleton_of_files(service: str) -> None:
    folder = ROOT / "services" / service
    assert [name for name in SKELETON if not any(folder.glob(name.replace(".py", "*")))] == []


@pytest.mark.parametrize("path", [*ROOT.glob("services/*/__main__.py"), *ROOT.glob("cli/*/__main__.py")], ids=shown)
def test_an_entry_point_is_at_most_15_lines(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 15


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_says_what_it_owns(service: str) -> None:
    docstring = ast.get_docstring(ast.parse((ROOT / "services" / service / "__init__.py").read_text())) or ""
    missing = [word for word in ("owns", "promises", "calls") if word not in docstring.lower()]
    assert missing == [], docstring


def test_no_code_promises_to_be_written_later() -> None:
    pattern = re.compile(r"\b(TODO|FIXME|XXX|NotImplementedError)\b")
    assert [shown(path) for path in source_files() if pattern.search(path.read_text())] == []
