"""RabbitMQ."""

from datetime import timedelta

from chronos.scheduler.v1 import rabbitmq_target_pb2

from services.dispatcher.convert_targets.tls import read_tls
from services.dispatcher.domain.contract import Contract
from services.dispatcher.domain.targets.rabbitmq import JSON, Rabbitmq, RabbitmqPlan, compile_rabbitmq, parse_broker
from services.dispatcher.protobuf_times import read_span


def read_rabbitmq(
    message: rabbitmq_target_pb2.RabbitmqTarget, *, timeout: timedelta, contract: Contract
) -> RabbitmqPlan:
    """The plan of a message. Raises ValueError for an address that leads nowhere."""
    broker = parse_broker(message.url, username=message.username, password=message.password, tls=read_tls(message.tls))
    target = Rabbitmq(
        broker=broker,
        exchange=message.exchange,
        routing_key=message.routing_key,
        queue=message.queue,
        payload=message.payload,
        content_type=message.content_type or JSON,
        content_encoding=message.content_encoding,
        headers=dict(message.headers),
        message_id=message.message_id,
        is_mandatory=message.mandatory if message.HasField("mandatory") else True,
        is_persistent=message.persistent if message.HasField("persistent") else True,
        priority=message.priority if message.HasField("priority") else None,
        expiration=read_span(message.expiration) if message.HasField("expiration") else None,
    )
    return compile_rabbitmq(target, timeout=timeout, contract=contract)
