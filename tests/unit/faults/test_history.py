"""A history can be kept and judged again."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.faults import verdict
from tests.faults.checker import check
from tests.faults.history import CallKind, Guarantee, History, Outcome, Phase, history_of, lines_of, load, save
from tests.unit.faults.stories import JOB, at, orderly, with_rules


def eventful() -> History:
    story = orderly(with_rules(guarantee=Guarantee.AT_MOST_ONCE, depends_on=("default/a", "default/b")))
    story.call(CallKind.PAUSE, 200, rules=with_rules(is_enabled=False), outcome=Outcome.UNKNOWN)
    story.call(CallKind.CANCEL, 210, execution_id=f"{JOB}@50", outcome=Outcome.REFUSED)
    story.record(300, "SKIPPED", "PAUSED", until=310, count=2, parent_ids=("x",))
    story.fault(30, 40)
    story.phases.append(Phase(name="quiet", began_us=at(0), ended_us=at(60)))
    return replace(story.history(), has_ledger=False)


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    history = eventful()
    save(history, tmp_path / "history.jsonl")
    assert load(tmp_path / "history.jsonl") == history


def test_each_line_is_an_event_that_says_its_kind_first() -> None:
    for line in lines_of(eventful()):
        assert next(iter(json.loads(line))) == "kind"


def test_a_cut_off_or_foreign_file_is_refused() -> None:
    lines = list(lines_of(eventful()))
    with pytest.raises(ValueError, match="not complete"):
        history_of(lines[1:])
    with pytest.raises(ValueError, match="line 1: unknown kind 'song'"):
        history_of(['{"kind": "song"}'])
    with pytest.raises(ValueError, match="unknown rules: colour"):
        history_of([line.replace('"schedule"', '"colour": 1, "schedule"') for line in lines])


def test_a_kept_history_is_judged_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    story = orderly()
    save(story.history(), tmp_path / "good.jsonl")
    story.forget(50)
    save(story.history(), tmp_path / "bad.jsonl")
    assert verdict.main([str(tmp_path / "good.jsonl")]) == 0
    assert "Every promise was kept." in capsys.readouterr().out
    assert verdict.main([str(tmp_path / "bad.jsonl"), "--picture", str(tmp_path / "bad.html")]) == 1
    assert f"MISSED {JOB}" in capsys.readouterr().out
    assert (tmp_path / "bad.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_the_same_history_gives_the_same_verdict_in_whatever_order() -> None:
    history = eventful()
    turned = replace(history, arrivals=history.arrivals[::-1], records=history.records[::-1])
    assert check(turned) == check(history)
