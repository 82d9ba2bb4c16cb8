"""The picture shows what was found, and stays small."""

import re
from html.parser import HTMLParser

from tests.faults.history import Limits, Phase
from tests.faults.timeline_picture import picture
from tests.unit.faults.stories import Story, add_orderly, at, orderly, with_rules


class Elements(HTMLParser):
    """Counts elements by their class, and checks that each one is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.classes: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.classes += [value or "" for name, value in attrs if name == "class"]
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.classes += [value or "" for name, value in attrs if name == "class"]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def drawn(story: Story) -> tuple[str, Elements]:
    page = picture(story.history(), story.verdict(), Limits())
    elements = Elements()
    elements.feed(page)
    assert elements.open == []
    return page, elements


def legend_less(elements: Elements, name: str) -> int:
    return elements.classes.count(name) - 1


def test_every_run_is_a_mark_and_violations_stand_out() -> None:
    story = orderly()
    story.fault(45, 55, "kill -9 <scheduler>")
    story.phases.append(Phase(name="quiet", began_us=at(0), ended_us=at(150)))
    story.forget(70)
    page, elements = drawn(story)
    assert "1 violations" in page
    assert "kill -9 &lt;scheduler&gt; scheduler-1" in page
    assert legend_less(elements, "k0") == 10
    assert elements.classes.count("k4") == 3  # the legend, the name of the job, the mark


def test_it_needs_nothing_from_elsewhere() -> None:
    page, _ = drawn(orderly())
    assert "Every promise was kept" in page
    assert re.search(r"<script|<link|src=|href=|url\(|@import", page) is None


def test_what_is_late_doubled_or_explained_has_a_look_of_its_own() -> None:
    story = orderly()
    story.fault(45, 75)
    story.forget(50)
    story.run(50, late=25)
    story.arrivals.append(story.arrivals[5])
    story.forget(60)
    story.record(60, "SKIPPED", "OVERLAP", completed=60)
    _, elements = drawn(story)
    assert [legend_less(elements, name) for name in ("k0", "k1", "k2", "k3", "k4")] == [8, 1, 1, 1, 0]


def test_many_runs_are_drawn_in_bins() -> None:
    story = Story(until=3_000)
    for number in range(20):
        add_orderly(story, with_rules(schedule="* * * * * *"), job=f"default/job-{number}")
    story.forget(1_000, "default/job-7")
    page, elements = drawn(story)
    assert len(page) < 400_000
    assert elements.classes.count("k4") == 3


def test_an_empty_history_has_a_picture_too() -> None:
    page, _ = drawn(Story())
    assert "Every promise was kept" in page
