"""What a dispatcher tells about a delivery, when a later one of the same run is on its way."""

from collections.abc import Callable

from chronos.dispatcher.v1 import delivery_service_pb2 as delivery
from chronos.history.v1 import execution_pb2

from services.scheduler.domain.occurrence import Run

Kind = delivery.DeliveryEvent
OF_ONE_DELIVERY = (Kind.RETURNED, Kind.STALE, Kind.CLAIMED)
ENDS = (Kind.FINISHED, Kind.ACCEPTED)
ANSWERS = (Kind.HELD, Kind.UNKNOWN, *ENDS)
"""What may answer the question whether a run is held."""


def is_outdated(event: delivery.DeliveryEvent, run: Run | None, *, is_adopted: bool) -> bool:
    """Whether it says nothing of what was sent there, but of an earlier delivery.

    A run that was adopted is held there under the epoch of an earlier owner.
    """
    if event.kind not in OF_ONE_DELIVERY or run is None or not event.epoch or is_adopted:
        return False
    return (event.epoch, event.delivery) < (run.epoch, run.delivery)


def is_overtaken(event: delivery.DeliveryEvent, find: Callable[[str], Run | None]) -> bool:
    """Whether it tells an end that the ledger does not take: it goes by the latest delivery, but for a success.

    Of what may be sent once, no later delivery is begun.
    """
    if event.kind not in ENDS or event.status == execution_pb2.Execution.SUCCESS:
        return False
    run = find(event.execution_id)
    return run is not None and not run.job.is_at_most_once and 0 < event.delivery < run.delivery
