"""One attempt: the request built, traced and sent."""

import random

from libs import telemetry
from services.dispatcher.deliveries import Held
from services.dispatcher.domain import trace
from services.dispatcher.domain.outcome import Answer, Failure, FailureKind
from services.dispatcher.domain.request import Facts, Request, RequestPlan
from services.dispatcher.ports import Sender

SPAN = "deliver webhook"


class Attempts:
    """Makes attempts. The receiver sees a span of its own under the firing's trace."""

    def __init__(self, sender: Sender, dice: random.Random) -> None:
        self._sender = sender
        self._dice = dice

    async def make(self, held: Held) -> Answer | Failure:
        """Makes the attempt that has just begun."""
        delivery = held.delivery
        if delivery.plan.request is None:
            return Failure(kind=FailureKind.INVALID, error=delivery.plan.error)
        if telemetry.is_exporting() and trace.is_sampled(delivery.traceparent):
            return await self._make_traced(held, delivery.plan.request)
        context = trace.child(delivery.traceparent, held.id, self._dice.getrandbits)
        return await self._sender.send(_request(held, delivery.plan.request, context))

    async def _make_traced(self, held: Held, plan: RequestPlan) -> Answer | Failure:
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
