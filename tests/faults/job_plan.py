"""The jobs of the workload: documents for the API, and the rules that the checker reads. Pure."""

from dataclasses import dataclass, replace
from random import Random
from typing import Any

from tests.faults.freeze import FROZEN_S, TAGS
from tests.faults.history import SECOND_US, Concurrency, Guarantee, JobRules, MissedPolicy

ATTEMPTS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedJob:
    """One job. `path` says how the receiver treats it. `is_parent`: others depend on it, so it is never deleted."""

    job_id: str
    rules: JobRules
    path: str
    is_parent: bool = False

    @property
    def name(self) -> str:
        """As histories call it."""
        return f"default/{self.job_id}"

    def document(self, address: str) -> dict[str, Any]:
        """The body of the call that creates it. `address` is the receiver's."""
        kind = self.path.split("/")[0]
        document = {
            "id": self.job_id,
            "name": self.job_id,
            "webhook": {"url": f"http://{address}/{self.path}"},
            "concurrency": self.rules.concurrency,
            "delivery_guarantee": self.rules.guarantee,
            "missed_run_policy": self.rules.missed,
            "enabled": self.rules.is_enabled,
            "timeout": "10s" if kind == "slow" else "5s",
            "retry_policy": {
                "max_attempts": self.rules.max_attempts,
                "initial_interval": "0.2s",
                "max_interval": "1s",
            },
        }
        if self.rules.frozen_s:
            document["tags"] = TAGS
        if self.rules.completion_us:
            document["completion"] = {"deadline": f"{self.rules.completion_us / SECOND_US:g}s"}
        if self.rules.depends_on:
            parents = [name.partition("/")[2] for name in self.rules.depends_on]
            return document | {"dependencies": {"depends_on": parents, "condition": "ALL_COMPLETE"}}
        return document | {"schedule": self.rules.schedule, "timezone": self.rules.timezone}


MOST_ONCE = {"guarantee": Guarantee.AT_MOST_ONCE}
LATER = {"completion_us": 6 * SECOND_US}
FROZEN = {"frozen_s": FROZEN_S}
KINDS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    # name, path, rules
    ("second", "ok", {"schedule": "* * * * * *", "concurrency": Concurrency.ALLOW}),
    ("second-forbid", "ok", {"schedule": "* * * * * *", "concurrency": Concurrency.FORBID}),
    ("second-once", "ok", {"schedule": "* * * * * *", "concurrency": Concurrency.ALLOW, **MOST_ONCE}),
    ("two-seconds", "ok", {"schedule": "*/2 * * * * *", "missed": MissedPolicy.EXECUTE_ALL}),
    ("every", "ok", {"schedule": "@every 3s", "concurrency": Concurrency.ALLOW}),
    ("every-once", "slow/300", {"schedule": "@every 7s", **MOST_ONCE}),
    ("forbid-slow", "slow/7000", {"schedule": "*/5 * * * * *", "concurrency": Concurrency.FORBID}),
    ("queue-slow", "slow/2500", {"schedule": "*/6 * * * * *", "concurrency": Concurrency.QUEUE}),
    ("replace-slow", "slow/6000", {"schedule": "*/4 * * * * *", "concurrency": Concurrency.REPLACE}),
    ("flaky", "fail/30", {"schedule": "*/3 * * * * *", "concurrency": Concurrency.ALLOW}),
    ("refused", "refuse", {"schedule": "*/10 * * * * *", "concurrency": Concurrency.ALLOW}),
    ("minute", "ok", {"schedule": "* * * * *", "timezone": "Europe/Berlin"}),
    ("working-hours", "slow/200", {"schedule": "*/15 * 0-23 * * *", "timezone": "America/New_York"}),
    ("ignore", "ok", {"schedule": "*/9 * * * * *", "missed": MissedPolicy.IGNORE}),
    ("by-hand", "slow/1500", {"schedule": "@manual", "concurrency": Concurrency.ALLOW}),
    ("accepting", "accept", {"schedule": "*/4 * * * * *", "concurrency": Concurrency.ALLOW, **LATER}),
    ("accepting-forbid", "accept", {"schedule": "*/3 * * * * *", "concurrency": Concurrency.FORBID, **LATER}),
    ("accepting-replace", "accept", {"schedule": "@every 3s", "concurrency": Concurrency.REPLACE, **LATER}),
    ("accepting-once", "accept", {"schedule": "@every 5s", **MOST_ONCE, **LATER}),
    ("frozen", "ok", {"schedule": "* * * * * *", "concurrency": Concurrency.ALLOW, **FROZEN}),
    ("frozen-forbid", "slow/300", {"schedule": "*/2 * * * * *", "concurrency": Concurrency.FORBID, **FROZEN}),
    ("frozen-once", "ok", {"schedule": "@every 3s", "concurrency": Concurrency.ALLOW, **MOST_ONCE, **FROZEN}),
    ("by-hand-once", "ok", {"schedule": "@manual", "concurrency": Concurrency.ALLOW, **MOST_ONCE}),
)
OTHER_SCHEDULES = (
    "* * * * * *",
    "*/2 * * * * *",
    "*/3 * * * * *",
    "@every 2s",
    "@every 4s",
    "*/5 * * * * *",
    "@every 9s",
)


def plan_jobs(random: Random, count: int) -> tuple[PlannedJob, ...]:
    """Jobs of every kind in turn; of every eight, one runs after another."""
    jobs: list[PlannedJob] = []
    for number in range(count):
        if number % 8 == 7:
            parent = random.choice([job for job in jobs if not job.rules.depends_on and job.path == "ok"])
            jobs[jobs.index(parent)] = replace(parent, is_parent=True)
            rules = JobRules(
                schedule="", depends_on=(parent.name,), concurrency=Concurrency.ALLOW, max_attempts=ATTEMPTS
            )
            jobs.append(PlannedJob(job_id=f"j{number:03}-after", rules=rules, path="ok"))
        else:
            jobs.append(one_job(number, number - number // 8))
    return tuple(jobs)


def one_job(number: int, kind: int) -> PlannedJob:
    """A job of a kind that follows from a number."""
    name, path, rules = KINDS[kind % len(KINDS)]
    return PlannedJob(job_id=f"j{number:03}-{name}", rules=JobRules(max_attempts=ATTEMPTS, **rules), path=path)
