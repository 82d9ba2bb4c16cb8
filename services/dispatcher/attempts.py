"""One attempt: the request built, traced, sent and judged."""

import random

from libs import telemetry
from services.dispatcher.breakers import Breakers
from services.dispatcher.domain import trace
from services.dispatcher.domain.breaker import Pass, Sign
from services.dispatcher.domain.outcome import Answer, Failure, FailureKind, Verdict, judge, sign_of
from services.dispatcher.domain.request import Facts, Request, RequestPlan
from services.dispatcher.held import Held
from services.dispatcher.ports import Sender

SPAN = "deliver webhook"


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
        request = plan.request
        if request is None:
            return judge(Failure(kind=FailureKind.INVALID, error=plan.error), plan.success_codes)
        how = self._breakers.admit(request.endpoint)
        if isinstance(how, Failure):
            return judge(how, plan.success_codes)
        held.passing = how
        try:
            result = await self._send(held, request)
        except BaseException:
            self._breakers.learn(request.endpoint, held.passing, Sign.NONE, "")
            raise
        verdict = judge(result, plan.success_codes)
        if not verdict.is_success or self._breakers:
            self._breakers.learn(request.endpoint, held.passing, sign_of(result, verdict), verdict.error)
        return verdict

    def abandon(self, held: Held) -> None:
        """Nobody waits for the end of this attempt any more: if it is a probe, another one may go out."""
        self._breakers.learn(held.delivery.plan.endpoint, held.passing, Sign.NONE, "")
        held.passing = Pass.PLAIN

    async def _send(self, held: Held, plan: RequestPlan) -> Answer | Failure:
        if telemetry.is_exporting() and trace.is_sampled(held.delivery.traceparent):
            return await self._send_traced(held, plan)
        context = trace.child(held.delivery.traceparent, held.id, self._dice.getrandbits)
        return await self._sender.send(_request(held, plan, context))

    async def _send_traced(self, held: Held, plan: RequestPlan) -> Answer | Failure:
        attributes: dict[str, str | int] = {
            "http.request.method": plan.method,
            "chronos.job.id": held.delivery.plan.job_id,
            "chronos.execution.id": held.id,
            "chronos.attempt": held.progress.begun_count,
        }
        with telemetry.span(SPAN, telemetry.SpanKind.CLIENT, held.delivery.traceparent, attributes) as span:
            result = await self._sender.send(_request(held, plan, telemetry.traceparent()))
            if isinstance(result, Answer):
                span.set_attribute("http.response.status_code", result.status_code)
            else:
                span.set_attribute("error.type", result.kind.value)
            return result


def _request(held: Held, plan: RequestPlan, traceparent: str) -> Request:
    job = held.delivery.plan
    return plan.request(
        Facts(
            job_id=job.job_id,
            job_name=job.job_name,
            namespace=job.namespace,
            execution_id=held.id,
            scheduled_time=held.delivery.scheduled_time,
            attempt=held.progress.begun_count,
            traceparent=traceparent,
        )
    )
