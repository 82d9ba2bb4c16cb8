"""What the dispatcher counts."""

from prometheus_client import Counter, Gauge, Histogram

from services.dispatcher.domain.execution import Status

_FINISHED = Counter(
    "chronos_dispatcher_delivery", "Executions that reached their end here, and are recorded.", ["outcome"]
)
FINISHED: dict[Status, Counter] = {
    status: _FINISHED.labels(status.value) for status in Status if status is not Status.RUNNING
}
STALE = Counter("chronos_dispatcher_stale", "Executions given up because another scheduler owns their shard.")
CLAIM_REFUSED = Counter(
    "chronos_dispatcher_claim_refused", "Executions not begun because somebody else has begun them."
)
RETURNED = Counter("chronos_dispatcher_returned", "Executions given back to their scheduler unfinished.")
_ATTEMPTS = Counter("chronos_dispatcher_attempt", "Attempts that ended.", ["outcome"])
SUCCEEDED = _ATTEMPTS.labels("success")
ACCEPTED = _ATTEMPTS.labels("accepted")
TO_BE_RETRIED = _ATTEMPTS.labels("retry")
GIVEN_UP = _ATTEMPTS.labels("failed")
BROKEN_OFF = _ATTEMPTS.labels("broken_off")
NOT_SENT = Counter("chronos_dispatcher_attempt_not_sent", "Attempts not sent because a circuit breaker was open.")
BREAKER_OPENED = Counter("chronos_dispatcher_breaker_opened", "Times that a circuit breaker opened.")
BREAKERS = Gauge("chronos_dispatcher_breakers", "Circuit breakers that are not closed.")
ATTEMPT_SECONDS = Histogram(
    "chronos_dispatcher_attempt_seconds",
    "Time that an attempt took.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
LATENESS = Histogram(
    "chronos_dispatcher_lateness_seconds",
    "From the scheduled time to the begin of the first attempt.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60),
)
IN_FLIGHT = Gauge("chronos_dispatcher_requests_in_flight", "Requests under way.")
HELD = Gauge("chronos_dispatcher_executions_held", "Executions held.")
QUEUED = Gauge("chronos_dispatcher_executions_queued", "Executions that wait for their turn.")
THROTTLED = Gauge("chronos_dispatcher_executions_throttled", "Executions that wait because of limits of their target.")
WAITING = Gauge("chronos_dispatcher_retries_waiting", "Executions that wait for their next attempt.")
RECORDS = Gauge("chronos_dispatcher_records_buffered", "Records that history has not acknowledged yet.")
STREAMS = Gauge("chronos_dispatcher_streams", "Schedulers that are connected.")
CREDIT = Gauge("chronos_dispatcher_credit", "Deliveries that the connected schedulers may send.")
