"""History, reached at any of its replicas."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta

import grpc
from chronos.history.v1 import execution_pb2, ledger_service_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from libs.etcd.membership import MemberWatch
from libs.faults import Unavailable
from libs.rpc.member_channels import OpenChannel
from services.scheduler.adapters.history_channels import HistoryChannels
from services.scheduler.ports.ledger import Found, Note, Sealed

# For each message, and for all of them.
SEAL_PART_DEADLINE = timedelta(seconds=10)
SEAL_DEADLINE = timedelta(seconds=60)
FIND_DEADLINE = timedelta(seconds=10)
RECORD_DEADLINE = timedelta(seconds=5)


class HistoryLedger:
    """See ports.Ledger."""

    def __init__(self, members: MemberWatch, open_channel: OpenChannel) -> None:
        self._channels = HistoryChannels(members, open_channel)

    async def seal(self, shard: int, epoch: int, watermark: datetime) -> Sealed:
        """See ports.Ledger."""
        time = Timestamp()
        time.FromDatetime(watermark)
        request = ledger_service_pb2.SealShardRequest(shard=shard, epoch=epoch, watermark=time)
        unfinished: list[execution_pb2.Execution] = []
        recorded: set[str] = set()
        async with self._channels.stub() as stub:
            call = stub.SealShard(request, timeout=SEAL_DEADLINE.total_seconds())
            try:
                while (part := await _next_part(call)) is not None:
                    unfinished.extend(part.unfinished)
                    recorded.update(part.recorded_execution_ids)
            except TimeoutError as error:
                raise Unavailable("history took too long to seal a shard") from error
            finally:
                call.cancel()
        return Sealed(unfinished=unfinished, recorded=frozenset(recorded))

    async def record(self, notes: Sequence[Note]) -> frozenset[str]:
        """See ports.Ledger."""
        request = ledger_service_pb2.RecordRequest(
            batch=1,
            records=[
                ledger_service_pb2.ExecutionRecord(execution=note.execution, shard=note.shard, epoch=note.epoch)
                for note in notes
            ],
        )

        async def requests() -> AsyncIterator[ledger_service_pb2.RecordRequest]:
            yield request

        async with self._channels.stub() as stub:
            async for answer in stub.Record(requests(), timeout=RECORD_DEADLINE.total_seconds()):
                return frozenset(answer.stale_execution_ids)
        raise Unavailable("history ended the stream before it acknowledged the notes")

    async def find(
        self,
        namespace: str,
        *,
        job_id: str = "",
        ids: Sequence[str] = (),
        start: datetime | None = None,
        end: datetime | None = None,
        limit: int = 1000,
        with_definitions: bool = False,
        with_stretches: bool = False,
    ) -> Found:
        """See ports.Ledger."""
        request = ledger_service_pb2.FindExecutionsRequest(
            namespace=namespace,
            job_id=job_id,
            ids=ids,
            limit=limit,
            with_definitions=with_definitions,
            with_stretches=with_stretches,
        )
        if start is not None:
            getattr(request, "from").FromDatetime(start)  # `from` is a keyword of Python
        if end is not None:
            request.to.FromDatetime(end)
        async with self._channels.stub() as stub:
            response = await stub.FindExecutions(request, timeout=FIND_DEADLINE.total_seconds())
        return Found(executions=response.executions, definitions=response.definitions)

    async def close(self) -> None:
        """Closes every channel."""
        await self._channels.close()


async def _next_part(
    call: grpc.aio.UnaryStreamCall[ledger_service_pb2.SealShardRequest, ledger_service_pb2.SealShardResponse],
) -> ledger_service_pb2.SealShardResponse | None:
    """The next message of a seal; None at its end."""
    async with asyncio.timeout(SEAL_PART_DEADLINE.total_seconds()):
        part = await call.read()
    return part if isinstance(part, ledger_service_pb2.SealShardResponse) else None
