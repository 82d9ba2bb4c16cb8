"""Kafka."""

from collections.abc import Mapping
from datetime import timedelta

from chronos.scheduler.v1 import kafka_target_pb2

from services.dispatcher.convert_targets.tls import read_tls
from services.dispatcher.domain.contract import Contract
from services.dispatcher.domain.targets.kafka import (
    Acks,
    Compression,
    Kafka,
    KafkaLink,
    KafkaPlan,
    Mechanism,
    Sasl,
    compile_kafka,
    parse_broker,
)

Target = kafka_target_pb2.KafkaTarget
ACKS: Mapping[int, Acks] = {
    Target.ACKS_UNSPECIFIED: Acks.ALL,
    Target.ALL: Acks.ALL,
    Target.LEADER: Acks.LEADER,
    Target.NONE: Acks.NONE,
}
COMPRESSIONS: Mapping[int, Compression] = {
    Target.COMPRESSION_UNSPECIFIED: Compression.NONE,
    Target.GZIP: Compression.GZIP,
    Target.SNAPPY: Compression.SNAPPY,
    Target.LZ4: Compression.LZ4,
    Target.ZSTD: Compression.ZSTD,
}
MECHANISMS: Mapping[int, Mechanism] = {
    kafka_target_pb2.KafkaSasl.MECHANISM_UNSPECIFIED: Mechanism.PLAIN,
    kafka_target_pb2.KafkaSasl.PLAIN: Mechanism.PLAIN,
    kafka_target_pb2.KafkaSasl.SCRAM_SHA_256: Mechanism.SCRAM_SHA_256,
    kafka_target_pb2.KafkaSasl.SCRAM_SHA_512: Mechanism.SCRAM_SHA_512,
}


def read_kafka(message: kafka_target_pb2.KafkaTarget, *, timeout: timedelta, contract: Contract) -> KafkaPlan:
    """The plan of a Kafka target. Raises ValueError for brokers that are none."""
    kafka = Kafka(
        link=_link(message),
        topic=message.topic,
        partition=message.partition if message.HasField("partition") and message.partition >= 0 else None,
        key=message.key,
        payload=message.payload,
        headers=dict(message.headers),
    )
    return compile_kafka(kafka, timeout=timeout, contract=contract)


def _link(message: kafka_target_pb2.KafkaTarget) -> KafkaLink:
    if not message.brokers:
        raise ValueError("the target names no brokers")
    tls = read_tls(message.tls)
    acks = ACKS.get(message.acks, Acks.ALL)
    is_idempotent = message.idempotent if message.HasField("idempotent") else True
    return KafkaLink(
        brokers=tuple(parse_broker(text) for text in message.brokers),
        tls=tls if tls is not None and tls.is_enabled else None,
        sasl=_sasl(message.sasl) if message.HasField("sasl") else None,
        acks=acks,
        compression=COMPRESSIONS.get(message.compression, Compression.NONE),
        is_idempotent=is_idempotent and acks is Acks.ALL,
    )


def _sasl(message: kafka_target_pb2.KafkaSasl) -> Sasl:
    mechanism = MECHANISMS.get(message.mechanism, Mechanism.PLAIN)
    return Sasl(mechanism=mechanism, username=message.username, password=message.password)
