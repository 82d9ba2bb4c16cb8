import asyncio
import os
import signal
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from cli.chronos.processes import start_mark
from tests.component.mesh.tiny import IGNORES_TERM, PATIENCE, STOPS_ON_TERM, Watched, spec
from tests.eventually import eventually

SOON = timedelta(milliseconds=100)


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched(log_dir=tmp_path)


def pid_of(watched: Watched, replica: str) -> int:
    pid = next(state.pid for state in reversed(watched.states) if state.replica == replica)
    assert pid is not None
    return pid


def runs(pid: int) -> bool:
    return start_mark(pid) is not None


async def test_a_child_that_is_killed_comes_back(watched: Watched) -> None:
    async with watched.supervisor(os.getpid()) as supervisor:
        child = supervisor.start(spec("a-0"))
        await eventually(watched.wrote("a-0", "up"))
        first = pid_of(watched, "a-0")
        os.kill(first, signal.SIGKILL)
        await eventually(lambda: watched.log("a-0").count("up") == 2)
        assert pid_of(watched, "a-0") != first
        assert child.restarts == 1
        assert watched.told == ["a-0 ended (killed by SIGKILL); starts again in 0.01 s"]


async def test_a_child_that_ends_by_itself_comes_back_again_and_again(watched: Watched) -> None:
    async with watched.supervisor(os.getpid()) as supervisor:
        child = supervisor.start(spec("a-0", "raise SystemExit(3)"))
        await eventually(lambda: child.restarts >= 3)
        assert child.last_end == "exit code 3"


async def test_between_two_runs_a_child_has_no_pid(watched: Watched) -> None:
    async with watched.supervisor(os.getpid()) as supervisor:
        supervisor.start(spec("a-0", "pass"))
        await eventually(lambda: len(watched.states) >= 3)
    assert watched.states[0].pid is not None
    assert watched.states[1].pid is None
    assert watched.states[-1].pid is None


async def test_a_program_that_cannot_be_run_is_tried_again_and_says_why(watched: Watched) -> None:
    missing = replace(spec("a-0"), command=("/no/such/program",))
    async with watched.supervisor(os.getpid()) as supervisor:
        child = supervisor.start(missing)
        await eventually(lambda: child.restarts >= 1)
    assert "cannot run /no/such/program: No such file or directory" in watched.log("a-0")


async def test_a_log_that_cannot_be_opened_does_not_end_the_supervisor(watched: Watched) -> None:
    watched.log_dir /= "gone"
    async with watched.supervisor(os.getpid()) as supervisor:
        child = supervisor.start(spec("a-0"))
        await eventually(lambda: child.restarts >= 1)
        assert "No such file or directory" in child.last_end
        watched.log_dir.mkdir()
        await eventually(watched.wrote("a-0", "up"))


async def test_children_get_the_shared_environment_and_their_own(watched: Watched) -> None:
    program = "import os; print(os.environ['GREETING'], os.environ['NAME'], flush=True)"
    named = replace(spec("a-0", program), env={"NAME": "you"})
    async with watched.supervisor(os.getpid()) as supervisor:
        supervisor.start(named)
        await eventually(watched.wrote("a-0", "hello you"))


async def test_children_stop_in_order(watched: Watched, tmp_path: Path) -> None:
    ends = tmp_path / "ends"
    program = f"{STOPS_ON_TERM}; open(sys.argv[1], 'a').write(sys.argv[2])".replace("import", "import sys,", 1)
    async with watched.supervisor(os.getpid()) as supervisor:
        for replica in ("a-0", "b-0", "c-0"):
            supervisor.start(spec(replica, program, str(ends), replica[0]))
            await eventually(watched.wrote(replica, "up"))
        await supervisor.stop(["b", "c", "a"], patience=PATIENCE)
        assert ends.read_text() == "bca"
        assert all(state.pid is None for state in (child.state for child in supervisor.children.values()))


async def test_stopped_children_do_not_come_back(watched: Watched) -> None:
    async with watched.supervisor(os.getpid()) as supervisor:
        supervisor.start(spec("a-0"))
        await eventually(watched.wrote("a-0", "up"))
        await supervisor.stop(["a"], patience=PATIENCE)
    assert watched.log("a-0") == "up\nstopped\n"
    assert watched.told == []


async def test_a_child_that_does_not_stop_is_killed_after_a_while(watched: Watched) -> None:
    async with watched.supervisor(os.getpid()) as supervisor:
        supervisor.start(spec("a-0", IGNORES_TERM))
        await eventually(watched.wrote("a-0", "up"))
        pid = pid_of(watched, "a-0")
        await supervisor.stop(["a"], patience=SOON)
        assert not runs(pid)
    assert watched.told == ["a-0 did not end within 0.1 s; killed"]


async def test_in_a_hurry_nobody_is_waited_for(watched: Watched) -> None:
    async with watched.supervisor(os.getpid()) as supervisor, asyncio.timeout(10):
        supervisor.start(spec("a-0", IGNORES_TERM))
        await eventually(watched.wrote("a-0", "up"))
        pid = pid_of(watched, "a-0")
        watched.hurry.set()
        await supervisor.stop(["a"], patience=timedelta(hours=1))
        assert not runs(pid)


async def test_a_child_in_its_pause_is_stopped_at_once(watched: Watched) -> None:
    async with watched.supervisor(os.getpid()) as supervisor, asyncio.timeout(10):
        child = supervisor.start(spec("a-0", "pass"))
        await eventually(lambda: child.restarts >= 1)
        await supervisor.stop(["a"], patience=timedelta(hours=1))
        assert child.is_over.is_set()


async def test_children_that_were_only_just_started_are_stopped_too(watched: Watched) -> None:
    async with watched.supervisor(os.getpid()) as supervisor:
        for number in range(5):
            supervisor.start(spec(f"a-{number}", IGNORES_TERM))
        await asyncio.sleep(0)
        await supervisor.stop(["a"], patience=SOON)
        assert all(child.state.pid is None for child in supervisor.children.values())
    assert not [state.pid for state in watched.states if state.pid is not None and runs(state.pid)]


async def test_an_error_leaves_no_child_behind(watched: Watched) -> None:
    async def go_wrong() -> None:
        async with watched.supervisor(os.getpid()) as supervisor:
            supervisor.start(spec("a-0", IGNORES_TERM))
            await eventually(watched.wrote("a-0", "up"))
            raise RuntimeError("something else went wrong")

    with pytest.raises(RuntimeError, match="something else went wrong"):
        await go_wrong()
    assert not runs(watched.states[0].pid or 0)


async def test_a_ctrl_c_in_the_terminal_is_not_for_the_children(watched: Watched) -> None:
    async with watched.supervisor(os.getpid()) as supervisor:
        supervisor.start(spec("a-0"))
        await eventually(watched.wrote("a-0", "up"))
        assert os.getpgid(pid_of(watched, "a-0")) != os.getpgid(0)


async def test_children_do_not_outlive_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    command = (sys.executable, "-m", "tests.component.mesh.orphan_maker", str(tmp_path))
    supervisor = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert supervisor.stdout is not None
    pids = [int(text) for text in (await supervisor.stdout.readline()).split()]
    assert len(pids) == 3
    assert all(runs(pid) for pid in pids)
    supervisor.kill()
    await supervisor.communicate()
    await eventually(lambda: not any(runs(pid) for pid in pids))


async def test_a_child_whose_supervisor_died_first_does_not_begin(watched: Watched) -> None:
    async with watched.supervisor(pid=1) as supervisor:  # as if this process had taken its place
        child = supervisor.start(spec("a-0"))
        await eventually(lambda: child.restarts >= 1)
    assert watched.log("a-0") == ""
