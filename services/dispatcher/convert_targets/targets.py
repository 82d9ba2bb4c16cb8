"""Which protocol a job's target speaks."""

from datetime import timedelta

from chronos.scheduler.v1 import job_pb2

from services.dispatcher.convert_targets.grpc import read_grpc
from services.dispatcher.convert_targets.kafka import read_kafka
from services.dispatcher.convert_targets.nats import read_nats
from services.dispatcher.convert_targets.rabbitmq import read_rabbitmq
from services.dispatcher.convert_targets.spans import span_or
from services.dispatcher.convert_targets.webhook import read_webhook
from services.dispatcher.convert_targets.websocket import read_websocket
from services.dispatcher.domain.contract import Contract
from services.dispatcher.domain.targets.plan import TargetPlan

DEFAULT_TIMEOUT = timedelta(seconds=30)


def read_target(job: job_pb2.Job, *, contract: Contract, user_agent: str) -> TargetPlan | None:
    """How to deliver to the target of a job; None when this version of the dispatcher does not know it.

    Raises ValueError, with what is wrong, for one that cannot be delivered to.
    """
    timeout = span_or(job.timeout, DEFAULT_TIMEOUT)
    match job.WhichOneof("target"):
        case "webhook":
            target = job.webhook
            return read_webhook(
                target, timeout=span_or(target.timeout, timeout), contract=contract, user_agent=user_agent
            )
        case "kafka":
            return read_kafka(job.kafka, timeout=span_or(job.kafka.timeout, timeout), contract=contract)
        case "grpc":
            return read_grpc(job.grpc, timeout=span_or(job.grpc.timeout, timeout), contract=contract)
        case "nats":
            return read_nats(job.nats, timeout=span_or(job.nats.timeout, timeout), contract=contract)
        case "rabbitmq":
            return read_rabbitmq(job.rabbitmq, timeout=span_or(job.rabbitmq.timeout, timeout), contract=contract)
        case "websocket":
            return read_websocket(
                job.websocket, namespace=job.namespace, timeout=span_or(job.websocket.timeout, timeout),
                contract=contract,
            )  # fmt: skip
        case _:
            return None
