"""Batches of records, as Kafka's produce requests carry them."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from aiokafka.protocol.produce import ProduceRequest
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder

from services.dispatcher.adapters.kafka_clusters import Identity
from services.dispatcher.adapters.kafka_connections import KafkaConnection
from services.dispatcher.adapters.kafka_errors import DUPLICATE_SEQUENCE, produce_error
from services.dispatcher.domain.results import Failure, Receipt
from services.dispatcher.domain.targets.kafka import Acks, Compression, KafkaLink, KafkaRequest

NO_LIMIT = 2**30
"""Of the builder. Batches are bounded when their records are chosen."""
RECORD_OVERHEAD = 64
REPLICAS_TIMEOUT_MS = 15_000
"""For which a leader waits for its replicas."""
NOBODY = Identity(-1, -1)
CODECS: Mapping[Compression, int] = {
    Compression.NONE: DefaultRecordBatch.CODEC_NONE,
    Compression.GZIP: DefaultRecordBatch.CODEC_GZIP,
    Compression.SNAPPY: DefaultRecordBatch.CODEC_SNAPPY,
    Compression.LZ4: DefaultRecordBatch.CODEC_LZ4,
    Compression.ZSTD: DefaultRecordBatch.CODEC_ZSTD,
}


@dataclass(slots=True, eq=False)
class Pending:
    """A record whose sender waits. `was_sent` once it may have had an effect."""

    request: KafkaRequest
    settled: "asyncio.Future[Receipt | Failure]" = field(repr=False)
    was_sent: bool = False

    @property
    def is_awaited(self) -> bool:
        """Whether its sender still waits."""
        return not self.settled.done()

    @property
    def size(self) -> int:
        """Bytes that it takes in a batch, at most, before compression."""
        request = self.request
        texts = sum(len(name) + len(value) + 10 for name, value in request.headers)
        return RECORD_OVERHEAD + len(request.key or b"") + len(request.value) + texts

    def settle(self, result: Receipt | Failure) -> None:
        """Tells its sender, who may have left."""
        if not self.settled.done():
            self.settled.set_result(result)


def pack(records: Sequence[Pending], compression: Compression, identity: Identity, sequence: int) -> bytes:
    """The records as one batch. `sequence` counts the records of this identity in this partition."""
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=CODECS[compression],
        is_transactional=0,
        producer_id=identity.producer_id,
        producer_epoch=identity.epoch,
        base_sequence=sequence if identity is not NOBODY else -1,
        batch_size=NO_LIMIT,
    )
    for place, record in enumerate(records):
        request = record.request
        builder.append(place, None, key=request.key, value=request.value, headers=request.headers)
    return bytes(builder.build())


async def produce(connection: KafkaConnection, link: KafkaLink, topic: str, partition: int, batch: bytes) -> int | None:
    """Appends a batch to a partition; gives the offset of its first record, if the broker tells. Raises Undelivered."""
    request = ProduceRequest(
        transactional_id=None,
        required_acks=int(link.acks),
        timeout=REPLICAS_TIMEOUT_MS,
        topics=[(topic, [(partition, batch)])],
    )
    answer = await connection.ask(request, is_answered=link.acks is not Acks.NONE)
    if answer is None:
        return None
    _, error_code, offset, *_ = answer.topics[0][1][0]
    if error_code == DUPLICATE_SEQUENCE:
        # An earlier try of the same batch was appended, so long ago that the broker has forgotten where.
        return None
    if error_code:
        raise produce_error(error_code, f"partition {partition} of {topic}", link.acks)
    return int(offset)


def receipt(link: KafkaLink, partition: int, offset: int | None) -> Receipt:
    """What a sender is told of a record that was delivered."""
    if link.acks is Acks.NONE:
        return Receipt(response=f"partition {partition}, not acknowledged")
    return Receipt(response=f"partition {partition}" + (f", offset {offset}" if offset is not None else ""))
