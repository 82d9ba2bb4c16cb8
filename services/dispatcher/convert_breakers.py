"""Circuit breakers, as others see them."""

from chronos.dispatcher.v1 import circuit_breaker_service_pb2 as breaker_pb2

from services.dispatcher.breakers import Tripped
from services.dispatcher.protobuf_times import write_moment


def write_breaker(tripped: Tripped, dispatcher: str) -> breaker_pb2.CircuitBreaker:
    """A breaker that is not closed. `dispatcher` names this replica."""
    breaker = tripped.breaker
    message = breaker_pb2.CircuitBreaker(
        host=tripped.host,
        dispatcher=dispatcher,
        state=breaker_pb2.CircuitBreaker.State.Value(breaker.state.name),
        failures=breaker.failures,
        successes=breaker.successes,
        last_error=breaker.last_error,
    )
    write_moment(tripped.since, message.since)
    if tripped.probe_at is not None:
        write_moment(tripped.probe_at, message.probe_at)
    return message
