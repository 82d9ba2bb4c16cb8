"""Plans of jobs, kept for the next execution of the same definition."""

from collections import OrderedDict
from collections.abc import Callable

from chronos.dispatcher.v1 import delivery_service_pb2 as delivery_pb2

from services.dispatcher.domain.plan import Plan


class Plans:
    """A cache of compiled plans, least recently used out first once they weigh more than `most_bytes`."""

    def __init__(self, compile_plan: Callable[[delivery_pb2.Delivery], Plan], *, most_bytes: int) -> None:
        self._compile = compile_plan
        self._most_bytes = most_bytes
        self._plans: OrderedDict[tuple[str, int, bytes], Plan] = OrderedDict()
        self._weight = 0

    def __len__(self) -> int:
        return len(self._plans)

    def find(self, delivery: delivery_pb2.Delivery) -> Plan:
        """The plan of the definition that comes with a delivery; where it says none, of that version of the job."""
        job = delivery.job
        key = (job.uid, job.version, delivery.definition_id)
        plan = self._plans.get(key)
        if plan is not None:
            self._plans.move_to_end(key)
            return plan
        plan = self._compile(delivery)
        self._plans[key] = plan
        self._weight += plan.weight
        while self._weight > self._most_bytes and len(self._plans) > 1:
            self._weight -= self._plans.popitem(last=False)[1].weight
        return plan
