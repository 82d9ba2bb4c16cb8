"""One attempt: the request built, traced, sent and judged."""

import random

from libs import telemetry
from services.dispatcher.breakers import Breakers
from services.dispatcher.domain import trace
from services.dispatcher.domain.breaker import Pass, Sign
from services.dispatcher.domain.facts import Facts
from services.dispatcher.domain.outcome import Verdict, judge_failure
from services.dispatcher.domain.results import Answer, Failure, FailureKind, Reply, Result
from services.dispatcher.domain.targets.plan import Request, TargetPlan
from services.dispatcher.held import Held
from services.dispatcher.ports import Sender

SPAN = "deliver"


class Attempts:
    """Makes attempts, but to no host that is left alone for a while.

    The receiver sees a span of its own under the firing's trace.
    """

    def __init__(self, sender: Sender, breakers: Breakers, dice: random.Random) -> None:
        self._sender = sender
        self._breakers = breakers
        self._dice = dice

    async def make(self, held: Held) -> Verdict:
        """Makes the attempt that has just begun."""
        plan = held.delivery.plan
        target = plan.target
        if target is None:
            return judge_failure(Failure(kind=FailureKind.INVALID, error=plan.error))
        how = self._breakers.admit(target.endpoint)
        if isinstance(how, Failure):
            return judge_failure(how)
        held.passing = how
        try:
            verdict = target.judge(await self._send(held, target))
        except BaseException:
            self._breakers.learn(target.endpoint, held.passing, Sign.NONE, "")
            raise
        if not verdict.is_success or self._breakers:
            self._breakers.learn(target.endpoint, held.passing, verdict.sign, verdict.error)
        return verdict

    def abandon(self, held: Held) -> None:
        """Nobody waits for the end of this attempt any more: if it is a probe, another one may go out."""
        self._breakers.learn(held.delivery.plan.endpoint, held.passing, Sign.NONE, "")
        held.passing = Pass.PLAIN

    async def _send(self, held: Held, target: TargetPlan) -> Result:
        if telemetry.is_exporting() and trace.is_sampled(held.delivery.traceparent):
            return await self._send_traced(held, target)
        context = trace.child(held.delivery.traceparent, held.id, self._dice.getrandbits)
        return await self._sender.send(_request(held, target, context))

    async def _send_traced(self, held: Held, target: TargetPlan) -> Result:
        attributes: dict[str, str | int] = {
            "chronos.job.id": held.delivery.plan.job_id,
            "chronos.execution.id": held.id,
            "chronos.attempt": held.progress.begun_count,
        }
        with telemetry.span(SPAN, telemetry.SpanKind.CLIENT, held.delivery.traceparent, attributes) as span:
            request = _request(held, target, telemetry.traceparent())
            span.set_attributes(dict(request.traits))
            result = await self._sender.send(request)
            match result:
                case Answer(status_code=code):
                    span.set_attribute("http.response.status_code", code)
                case Reply(code=code):
                    span.set_attribute("rpc.grpc.status_code", code)
                case Failure(kind=kind):
                    span.set_attribute("error.type", kind.value)
            return result


def _request(held: Held, target: TargetPlan, traceparent: str) -> Request:
    job, progress = held.delivery.plan, held.progress
    assert progress.begun_at is not None
    return target.request(
        Facts(
            job_id=job.job_id,
            job_name=job.job_name,
            namespace=job.namespace,
            execution_id=held.id,
            scheduled_time=held.delivery.scheduled_time,
            attempt=progress.begun_count,
            traceparent=traceparent,
            sent_at=progress.begun_at,
        )
    )
