"""The jobs of the demo, and when each of them should run."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

BODY = '{"job": "{{.JobID}}", "execution": "{{.ExecutionID}}", "scheduled": "{{.ScheduledTime}}"}'
YEARLY = timedelta(days=365)


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoJob:
    """A job. It runs each `period`, counted from its creation or, if not `from_creation`, from the full minute.

    A `period` of a year means that the demo runs it by hand.
    """

    id: str
    name: str
    schedule: str
    period: timedelta
    from_creation: bool = False
    path: str = ""
    body: str = ""
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def is_by_hand(self) -> bool:
        """Whether only the demo itself makes it run."""
        return self.period >= YEARLY

    def resource(self, receiver_url: str) -> dict[str, Any]:
        """The job as the REST API takes it."""
        webhook: dict[str, Any] = {"url": f"{receiver_url}{self.path or '/' + self.id}"}
        if self.body:
            webhook |= {"body": self.body, "headers": {"Content-Type": "application/json"}}
        tags = {"made-by": "demo"}
        return {
            "id": self.id,
            "name": self.name,
            "schedule": self.schedule,
            "webhook": webhook,
            "tags": tags,
            **self.extra,
        }

    def occurrences(self, created_at: datetime, until: datetime) -> Iterator[datetime]:
        """Every scheduled time after its creation, up to and including `until`."""
        moment = created_at if self.from_creation else _floor(created_at, self.period)
        while not self.is_by_hand and (moment := moment + self.period) <= until:
            yield moment


JOBS = (
    DemoJob(id="every-second", name="Every second", schedule="* * * * * *", period=timedelta(seconds=1)),
    DemoJob(
        id="every-two",
        name="Every two seconds from its creation",
        schedule="@every 2s",
        period=timedelta(seconds=2),
        from_creation=True,
    ),
    DemoJob(
        id="with-a-body",
        name="With a body made of variables",
        schedule="*/3 * * * * *",
        period=timedelta(seconds=3),
        body=BODY,
    ),
    DemoJob(
        id="fails-first",
        name="Refused at first, then retried",
        schedule="*/5 * * * * *",
        period=timedelta(seconds=5),
        path="/fail-first/1/fails-first",
        extra={"retry_policy": {"max_attempts": 3, "initial_interval": "0.200s"}},
    ),
    DemoJob(id="by-hand", name="Run by hand", schedule="@yearly", period=YEARLY),
)


def _floor(moment: datetime, period: timedelta) -> datetime:
    """The last whole multiple of `period` since the epoch; the same as cron's for periods that divide a minute."""
    epoch = datetime.fromtimestamp(0, UTC)
    return moment - (moment - epoch) % period
