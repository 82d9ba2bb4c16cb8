"""Makes the planned calls through the edge, and writes down what became of each."""

import asyncio
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import httpx

from tests.faults.call_plan import PlannedCall
from tests.faults.clock import SECOND_US, now_us, sleep_until
from tests.faults.history import Call, CallKind, JobRules, Outcome
from tests.faults.receiver import moment_us

AGAIN_S = 0.3
PATIENCE_US = 90 * SECOND_US
"""For so long an answer is looked for. Longer than the edge waits for a service, so that no call acts after that."""
ZOMBIE_US = 35 * SECOND_US
"""A call that was not answered may act for so long, for example when a stopped process goes on: longer than the edge's
own limit of 30 s. Until then nothing else is asked of the job."""
Answer = tuple[int, dict[str, Any]]


@dataclass(slots=True)
class _Job:
    rules: JobRules
    etag: str = ""
    version: int = 0
    uid: str = ""
    last_execution: str = ""
    is_there: bool = False
    unsure_until_us: int = 0
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


class Workload:
    """Calls of one run, in `calls` when they are over."""

    def __init__(self, api: httpx.AsyncClient, address: str) -> None:
        """`address` is the receiver's."""
        self.calls: list[Call] = []
        self.left_out = 0
        self._api = api
        self._address = address
        self._jobs: dict[str, _Job] = {}

    async def run(self, planned: Sequence[PlannedCall], began_us: int) -> None:
        """Makes each call at its time; returns when all are answered or given up."""
        async with asyncio.TaskGroup() as group:
            for call in planned:
                await sleep_until(began_us + int(call.at_s * SECOND_US))
                group.create_task(self._make(call))

    def count(self) -> str:
        """How many calls came out how."""
        outcomes = Counter(call.outcome for call in self.calls)
        counts = ", ".join(f"{count} {outcome.lower()}" for outcome, count in sorted(outcomes.items()))
        return f"{len(self.calls)} calls: {counts}; {self.left_out} left out, beside calls that may still act"

    async def pause_all(self) -> None:
        """Lets nothing new become due."""
        async with asyncio.TaskGroup() as group:
            for job_id, job in self._jobs.items():
                if job.is_there:
                    group.create_task(self._pause(job_id, job))

    async def _pause(self, job_id: str, job: _Job) -> None:
        async with job.turn:
            rules = replace(job.rules, is_enabled=False)
            await self._settle(job_id, job, CallKind.PAUSE, rules, lambda: self._post(f"jobs/{job_id}/disable", {}))

    async def _make(self, call: PlannedCall) -> None:
        job_id = call.job.job_id
        job = self._jobs.setdefault(job_id, _Job(call.job.rules))
        async with job.turn:
            is_possible = job.is_there != (call.kind is CallKind.CREATE)
            if not is_possible or now_us() < job.unsure_until_us:
                self.left_out += 1
                return
            await self._ask(call, job_id, job)

    async def _ask(self, call: PlannedCall, job_id: str, job: _Job) -> None:
        rules = _after(call, job.rules)
        request_id = str(uuid.uuid4())
        match call.kind:
            case CallKind.CREATE:
                body = call.job.document(self._address)
                await self._settle(job_id, job, call.kind, rules, lambda: self._create(job_id, body, request_id))
            case CallKind.UPDATE:
                await self._settle(job_id, job, call.kind, rules, lambda: self._update(job_id, job, rules.schedule))
            case CallKind.PAUSE:
                await self._settle(job_id, job, call.kind, rules, lambda: self._post(f"jobs/{job_id}/disable", {}))
            case CallKind.RESUME:
                await self._settle(job_id, job, call.kind, rules, lambda: self._post(f"jobs/{job_id}/enable", {}))
            case CallKind.DELETE:
                await self._settle(job_id, job, call.kind, None, lambda: self._delete(job_id))
            case CallKind.TRIGGER:
                body = {"request_id": request_id}
                await self._settle(job_id, job, call.kind, None, lambda: self._post(f"jobs/{job_id}/trigger", body))
            case CallKind.CANCEL if job.last_execution:
                path = f"executions/{job.last_execution}/cancel"
                await self._settle(job_id, job, call.kind, None, lambda: self._post(path, {}))

    async def _settle(self, job_id: str, job: _Job, kind: CallKind, rules: JobRules | None, attempt: Any) -> None:
        """Asks until there is an answer. All of it is one call: it took effect at one time between begin and end.

        That holds because each kind can be repeated: with its request id, with the job's etag, or by its nature.
        """
        sent = now_us()
        tries, answer = 0, None
        while answer is None and now_us() < sent + PATIENCE_US:
            tries += 1
            answer = await self._try(attempt)
            if answer is None:
                await asyncio.sleep(AGAIN_S)
        if tries > 1:
            job.unsure_until_us = now_us() + ZOMBIE_US
        outcome = _outcome(kind, answer)
        known = answer[1] if answer is not None and outcome is Outcome.ACKNOWLEDGED else {}
        self._learn(job, kind, rules, known, outcome)
        self.calls.append(
            Call(
                kind=kind,
                job=f"default/{job_id}",
                sent_us=sent,
                answered_us=now_us() if answer is not None else None,
                outcome=outcome,
                rules=None if rules is None else replace(rules, created_us=job.rules.created_us),
                version=job.version if known and rules is not None else 0,
                uid=job.uid,
                execution_id=_execution(kind, job),
            )
        )

    def _learn(
        self, job: _Job, kind: CallKind, rules: JobRules | None, known: dict[str, Any], outcome: Outcome
    ) -> None:
        if outcome is not Outcome.ACKNOWLEDGED:
            return
        if kind is CallKind.TRIGGER:
            job.last_execution = str(known["id"])
        if kind is CallKind.DELETE:
            job.is_there = False
        if rules is not None:
            job.is_there = True
            job.rules = replace(rules, created_us=moment_us(known["created_at"]))
            job.etag, job.version, job.uid = known["etag"], int(known["version"]), known["uid"]

    async def _try(self, attempt: Any) -> Answer | None:
        """One try. None when it is not known what it did."""
        try:
            answer: Answer | None = await attempt()
        except (httpx.HTTPError, ValueError):
            return None
        return None if answer is None or answer[0] >= 500 or answer[0] == 429 else answer

    async def _create(self, job_id: str, body: dict[str, Any], request_id: str) -> Answer:
        answer = _read(await self._api.post("/api/v1/jobs", json=body, params={"request_id": request_id}))
        return answer if answer[0] != 409 else await self._get(job_id)

    async def _update(self, job_id: str, job: _Job, schedule: str) -> Answer | None:
        """The etag keeps an earlier try of the same change, still on its way, from acting after a later change."""
        body = {"schedule": schedule, "etag": job.etag}
        path = f"/api/v1/jobs/{job_id}"
        answer = _read(await self._api.patch(path, json=body, params={"update_mask": "schedule"}))
        if answer[0] != 409:
            return answer
        found = await self._get(job_id)
        if found[0] == 200 and found[1]["schedule"] != schedule:
            job.etag = found[1]["etag"]
            return None
        return found

    async def _delete(self, job_id: str) -> Answer:
        answer = _read(await self._api.delete(f"/api/v1/jobs/{job_id}"))
        return (200, {}) if answer[0] == 404 else answer

    async def _get(self, job_id: str) -> Answer:
        return _read(await self._api.get(f"/api/v1/jobs/{job_id}"))

    async def _post(self, path: str, body: dict[str, Any]) -> Answer:
        return _read(await self._api.post(f"/api/v1/{path}", json=body))


def _read(answer: httpx.Response) -> Answer:
    return answer.status_code, dict(answer.json()) if answer.content else {}


def _after(call: PlannedCall, rules: JobRules) -> JobRules:
    """What a job is after a call. The plan does not know which calls were left out; what a call leaves is as it was."""
    match call.kind:
        case CallKind.CREATE:
            return replace(rules, schedule=call.job.rules.schedule, is_enabled=call.job.rules.is_enabled)
        case CallKind.UPDATE:
            return replace(rules, schedule=call.job.rules.schedule)
        case CallKind.PAUSE | CallKind.RESUME:
            return replace(rules, is_enabled=call.kind is CallKind.RESUME)
        case _:
            return rules


def _outcome(kind: CallKind, answer: Answer | None) -> Outcome:
    if answer is None:
        return Outcome.UNKNOWN
    return Outcome.ACKNOWLEDGED if answer[0] < 300 else Outcome.REFUSED


def _execution(kind: CallKind, job: _Job) -> str:
    return job.last_execution if kind in (CallKind.TRIGGER, CallKind.CANCEL) else ""
