"""What the documents promise about the tree."""

import re
from pathlib import Path

import pytest

from tests.architecture.tree import ROOT, markdown_files, shown

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
ADR = re.compile(r"\d{4}-[a-z0-9-]+\.md")


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, made as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", markdown_files(), ids=shown)
def test_every_link_leads_somewhere(page: Path) -> None:
    broken = []
    for link in LINK.findall(re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_the_index_of_decisions_is_complete() -> None:
    folder = ROOT / "docs" / "adr"
    on_disk = sorted(path.name for path in folder.glob("*.md") if path.name != "README.md")
    listed = LINK.findall((folder / "README.md").read_text())
    assert [name for name in on_disk if not ADR.fullmatch(name)] == []
    assert sorted(name for name in listed if ADR.fullmatch(name)) == on_disk


def test_decisions_are_numbered_once_each() -> None:
    numbers = [path.name[:4] for path in (ROOT / "docs" / "adr").glob("[0-9]*.md")]
    assert sorted(numbers) == sorted(set(numbers))


def test_every_page_of_the_docs_is_linked_from_the_readme_or_the_overview() -> None:
    linked = set()
    for page in (ROOT / "README.md", ROOT / "docs" / "adr" / "README.md"):
        for link in LINK.findall(page.read_text()):
            if not re.match(r"[a-z]+:|#", link):
                linked.add((page.parent / link.partition("#")[0]).resolve())
    assert [shown(path) for path in (ROOT / "docs").rglob("*.md") if path.resolve() not in linked] == []


@pytest.mark.parametrize("path", sorted((ROOT / "requirements").glob("*.txt")), ids=shown)
def test_pins_carry_hashes_and_no_addresses(path: Path) -> None:
    text = path.read_text()
    assert re.findall(r"https?://|--(?:extra-)?index-url|--find-links", text) == []
    pins = re.findall(r"^[a-z0-9][^\s=]*==[^\s\\]+.*$", text, re.MULTILINE)
    assert pins
    assert [pin for pin in pins if not pin.rstrip().endswith("\\")] == []


def test_every_target_of_the_makefile_is_explained() -> None:
    text = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z]+):", text, re.MULTILINE))
    assert targets == set(re.findall(r"^([a-z]+):.*## .+$", text, re.MULTILINE))
