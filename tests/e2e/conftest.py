"""One mesh for all tests that leave it as they found it."""

import itertools
import os
from collections.abc import Callable, Iterator

import httpx
import pytest

from tests.e2e.mesh import REPLICAS, RunningMesh, running_mesh
from tests.e2e.receiver import Receiver, running_receiver

Fresh = Callable[[str], str]


@pytest.fixture(scope="session")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningMesh]:
    """Without circuit breakers: the receiver that all tests share fails on purpose."""
    flags = ("--replicas", REPLICAS, "--set", "dispatcher.breaker_failures=0")
    with running_mesh(tmp_path_factory.mktemp("mesh") / "data", *flags) as running:
        yield running


@pytest.fixture
def api(mesh: RunningMesh) -> Iterator[httpx.Client]:
    with mesh.http() as client:
        yield client


@pytest.fixture(scope="session")
def receiver() -> Iterator[Receiver]:
    with running_receiver() as running:
        yield running


@pytest.fixture(scope="session")
def fresh() -> Fresh:
    """Names that no other test uses."""
    numbers = itertools.count(1)
    return lambda stem: f"{stem}-{os.getpid()}-{next(numbers)}"
