"""Takes in what schedulers send."""

from datetime import timedelta

from chronos.dispatcher.v1 import delivery_service_pb2 as delivery_pb2

from libs.clock import Clock
from libs.log import get_logger
from services.dispatcher import convert
from services.dispatcher.cancelling import Cancelling
from services.dispatcher.deliveries import Deliveries
from services.dispatcher.plans import Plans
from services.dispatcher.retries import Retries
from services.dispatcher.streams import Outbox
from services.dispatcher.throttles import Throttles


class Intake:
    """Queues deliveries. One whose last attempt said when to try again waits until then, whoever made that attempt."""

    def __init__(
        self,
        deliveries: Deliveries,
        cancelling: Cancelling,
        retries: Retries,
        throttles: Throttles,
        plans: Plans,
        clock: Clock,
    ) -> None:
        self._deliveries = deliveries
        self._cancelling = cancelling
        self._retries = retries
        self._throttles = throttles
        self._plans = plans
        self._clock = clock
        self._log = get_logger()

    def take(self, request: delivery_pb2.DeliverRequest, outbox: Outbox) -> None:
        """Takes everything in one message of the stream that `outbox` belongs to."""
        for message in request.deliveries:
            outbox.use_credit()
            try:
                self._take_delivery(message, outbox)
            except (ValueError, OverflowError) as error:
                self._log.error("delivery not understood", execution_id=message.execution_id, exc_info=error)
                outbox.owe(1)
        self._deliveries.adopt(request.adopt_execution_ids, outbox)
        for cancellation in request.cancellations:
            self._cancelling.cancel(cancellation.execution_id, convert.read_ending(cancellation))

    def _take_delivery(self, message: delivery_pb2.Delivery, outbox: Outbox) -> None:
        delivery = convert.read_delivery(message, self._plans.find(message))
        held = self._deliveries.accept(delivery, convert.read_attempts(message.attempts), outbox)
        if held is None:
            return
        attempts = held.progress.attempts
        retry_at = attempts[-1].retry_at if attempts else None
        wait = retry_at - self._clock.now() if retry_at is not None else timedelta(0)
        if wait > timedelta(0):
            held.give_credit_back()
            self._retries.add(held, wait)
        else:
            self._throttles.enqueue(held)
