"""What the new owner of a shard is told, in parts that fit into messages."""

from collections.abc import Iterator

from chronos.history.v1.ledger_service_pb2 import SealShardResponse

from services.history.convert import execution_from, uuid_text
from services.history.ports import Seal

MOST_UNFINISHED = 500
MOST_BYTES = 1024 * 1024
MOST_IDS = 20_000


def seal_parts(seal: Seal) -> Iterator[SealShardResponse]:
    """The parts of an answer, each some 1 MiB at most (one execution more); none when there is nothing to tell."""
    part, size = SealShardResponse(), 0
    for record in seal.unfinished:
        execution = execution_from(record)
        part.unfinished.append(execution)
        size += execution.ByteSize()
        if len(part.unfinished) >= MOST_UNFINISHED or size >= MOST_BYTES:
            yield part
            part, size = SealShardResponse(), 0
    if part.unfinished:
        yield part
    for start in range(0, len(seal.recorded_ids), MOST_IDS):
        some = seal.recorded_ids[start : start + MOST_IDS]
        yield SealShardResponse(recorded_execution_ids=[uuid_text(recorded) for recorded in some])
