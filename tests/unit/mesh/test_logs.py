from datetime import timedelta
from pathlib import Path

import pytest

from cli.chronos import child_log
from cli.chronos.child_log import last_lines, open_log
from cli.chronos.errors import MeshError
from cli.chronos.logs import follow, logs_of, tail
from tests.fakes.clock import FakeClock


@pytest.fixture
def log_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "logs"
    folder.mkdir()
    for replica in ("scheduler-0", "scheduler-1", "etcd-0"):
        (folder / f"{replica}.log").write_text(f"{replica} one\n{replica} two\n")
    return folder


def test_the_logs_of_a_service_are_those_of_its_replicas(log_dir: Path) -> None:
    assert list(logs_of(log_dir.parent, "scheduler")) == ["scheduler-0", "scheduler-1"]
    assert list(logs_of(log_dir.parent, "scheduler-1")) == ["scheduler-1"]


def test_a_service_without_logs_is_told_which_have_some(log_dir: Path) -> None:
    with pytest.raises(MeshError, match="no logs of policy; there are etcd, scheduler"):
        logs_of(log_dir.parent, "policy")


def test_lines_of_several_logs_say_whose_they_are(log_dir: Path) -> None:
    assert list(tail(logs_of(log_dir.parent, "scheduler"), 1)) == [
        "scheduler-0  scheduler-0 two",
        "scheduler-1  scheduler-1 two",
    ]
    assert list(tail(logs_of(log_dir.parent, "etcd"), 5)) == ["etcd-0 one", "etcd-0 two"]


def test_the_last_lines_are_found_without_reading_all(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.write_text("".join(f"line {number}\n" for number in range(1000)))
    assert last_lines(path, 2, most_bytes=100) == ["line 998", "line 999"]
    assert last_lines(path, 0) == []
    assert last_lines(tmp_path / "none.log", 3) == []


def test_a_log_that_grew_large_is_moved_away_at_the_next_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_log, "LARGEST_BYTES", 3)
    for text in (b"old", b"more", b"new"):
        with open_log(tmp_path, "x-0") as log:
            log.write(text)
    assert (tmp_path / "x-0.log.1").read_bytes() == b"oldmore"
    assert (tmp_path / "x-0.log").read_bytes() == b"new"


async def test_following_gives_whole_lines_as_they_come(tmp_path: Path) -> None:
    path = tmp_path / "x-0.log"
    path.write_text("old\n")
    lines = follow({"x-0": path}, InstantClock(path, ["half", " a line\n", "second\n"]))
    assert [await anext(lines), await anext(lines)] == ["half a line", "second"]


async def test_following_goes_on_in_the_log_that_takes_the_place_of_one_moved_away(tmp_path: Path) -> None:
    path = tmp_path / "x-0.log"
    path.write_text("a long old line\n")
    lines = follow({"x-0": path}, InstantClock(path, ["before\n", None, "after\n"]))
    assert [await anext(lines), await anext(lines)] == ["before", "after"]


class InstantClock(FakeClock):
    """Instead of each wait, the log grows by the next text; None moves it away."""

    def __init__(self, path: Path, texts: list[str | None]) -> None:
        super().__init__()
        self._path = path
        self._texts = iter(texts)

    async def sleep(self, span: timedelta) -> None:
        text = next(self._texts)
        if text is None:
            self._path.rename(self._path.with_suffix(".log.1"))
            return
        with self._path.open("a") as file:
            file.write(text)
