"""History, reached at any of its replicas."""

import random
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime, timedelta

import grpc
from chronos.history.v1 import ledger_service_pb2, ledger_service_pb2_grpc
from google.protobuf.timestamp_pb2 import Timestamp

from libs.etcd.membership import MemberWatch
from libs.faults import Unavailable
from libs.rpc.channel import fault_from
from services.scheduler.ports.ledger import Found, Note, Sealed

SEAL_DEADLINE = timedelta(seconds=10)
FIND_DEADLINE = timedelta(seconds=10)
RECORD_DEADLINE = timedelta(seconds=5)
OpenChannel = Callable[[str], grpc.aio.Channel]


class HistoryLedger:
    """See ports.Ledger. Keeps one channel to each replica that it used."""

    def __init__(self, members: MemberWatch, open_channel: OpenChannel) -> None:
        self._members = members
        self._open_channel = open_channel
        self._channels: dict[str, grpc.aio.Channel] = {}

    async def seal(self, shard: int, epoch: int, watermark: datetime) -> Sealed:
        """See ports.Ledger."""
        time = Timestamp()
        time.FromDatetime(watermark)
        request = ledger_service_pb2.SealShardRequest(shard=shard, epoch=epoch, watermark=time)
        stub = await self._stub()
        try:
            response = await stub.SealShard(request, timeout=SEAL_DEADLINE.total_seconds())
        except grpc.aio.AioRpcError as error:
            raise fault_from(error) from error
        return Sealed(unfinished=list(response.unfinished), recorded=frozenset(response.recorded_execution_ids))

    async def record(self, notes: Sequence[Note]) -> None:
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

        stub = await self._stub()
        try:
            async for _ in stub.Record(requests(), timeout=RECORD_DEADLINE.total_seconds()):
                return
        except grpc.aio.AioRpcError as error:
            raise fault_from(error) from error
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
        stub = await self._stub()
        try:
            response = await stub.FindExecutions(request, timeout=FIND_DEADLINE.total_seconds())
        except grpc.aio.AioRpcError as error:
            raise fault_from(error) from error
        return Found(executions=response.executions, definitions=response.definitions)

    async def close(self) -> None:
        """Closes every channel."""
        for channel in self._channels.values():
            await channel.close()

    async def _stub(self) -> "ledger_service_pb2_grpc.LedgerServiceAsyncStub":
        members = list(self._members.members.values())
        if not members:
            raise Unavailable("no history service is there; start one")
        addresses = {member.address for member in members}
        for address in self._channels.keys() - addresses:
            await self._channels.pop(address).close()
        address = random.choice(members).address
        channel = self._channels.get(address)
        if channel is None:
            channel = self._channels[address] = self._open_channel(address)
        return ledger_service_pb2_grpc.LedgerServiceStub(channel)
