"""What the plans of all protocols have in common."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

from services.dispatcher.domain.facts import Facts
from services.dispatcher.domain.outcome import Verdict
from services.dispatcher.domain.results import Result


class Request(Protocol):
    """A request or message, ready to be sent. `timeout` spans from connecting to the end of the answer."""

    @property
    def timeout(self) -> timedelta:
        """The longest time for it."""

    @property
    def traits(self) -> Mapping[str, str | int]:
        """What a span tells about it, by OpenTelemetry's names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A request as the ledger shows it, secrets masked. `method` is what is done at `url`, for example `PUBLISH`."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""


class TargetPlan(Protocol):
    """What all deliveries of one version of a job share, worked out once."""

    @property
    def endpoint(self) -> str:
        """What deliveries that go to the same place have in common: mostly host and port."""

    @property
    def weight(self) -> int:
        """Bytes that it keeps in memory, roughly."""

    @property
    def shown(self) -> Shown:
        """What all its requests look like."""

    def request(self, facts: Facts) -> Request:
        """What to send in one attempt."""

    def judge(self, result: Result) -> Verdict:
        """What came of it."""
