"""Decisions that hold until the job or a policy changes, and what they say."""

import json
from dataclasses import dataclass

from chronos.policy.v1 import decision_pb2
from google.protobuf.json_format import MessageToDict

from services.scheduler.domain.occurrence import Run
from services.scheduler.policies.refusals import named

MOST_KEPT = 200_000
MOST_NAMED = 3
LONGEST_VALUE = 100
LARGEST_VALUE_BYTES = 4_096


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What policies of a revision said to runs of a version of a job. `denial` says why not; empty for what may."""

    version: int
    revision: int
    decision: decision_pb2.Decision
    denial: str


class StandingDecisions:
    """One for each job and whoever asked for its runs; the oldest go when there are 200,000 of them."""

    def __init__(self) -> None:
        self._kept: dict[str, Standing] = {}

    def find(self, run: Run, revision: int) -> Standing | None:
        """What was said to runs like this one, if no policy has changed since; that was at `revision`."""
        standing = self._kept.get(_key(run))
        if standing is None or standing.version != run.job.version or standing.revision < revision:
            return None
        return standing

    def keep(self, run: Run, standing: Standing) -> None:
        """Holds from now on for runs like this one."""
        key = _key(run)
        self._kept.pop(key, None)
        self._kept[key] = standing
        if len(self._kept) > MOST_KEPT:
            del self._kept[next(iter(self._kept))]


def _key(run: Run) -> str:
    return f"{run.job.uid} {run.origin.actor}" if run.origin.actor else run.job.uid


def denial_of(decision: decision_pb2.Decision) -> str:
    """Which rules forbid something, what they say, and what stood there; empty when none does."""
    words = [_words(result) for result in decision.violations[:MOST_NAMED]]
    if (more := len(decision.violations) - MOST_NAMED) > 0:
        words.append(f"and {more:,} more")
    return "; ".join(words)


def _words(result: decision_pb2.RuleResult) -> str:
    return f"{named(result)} ({result.field} is {_value(result)})" if result.field else named(result)


def _value(result: decision_pb2.RuleResult) -> str:
    if not result.HasField("actual_value"):
        return "not there"
    if result.actual_value.ByteSize() > LARGEST_VALUE_BYTES:
        return "too large to be shown"
    text = json.dumps(MessageToDict(result.actual_value))
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}…"
