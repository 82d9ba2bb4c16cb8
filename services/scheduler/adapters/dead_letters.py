"""Dead letters, looked up at any history."""

from collections.abc import Sequence
from datetime import timedelta

from chronos.history.v1 import dead_letter_service_pb2, dead_letter_service_pb2_grpc

from libs.etcd.membership import MemberWatch
from libs.rpc.member_channels import OpenChannel
from services.scheduler.adapters.history_channels import HistoryChannels

FIND_DEADLINE = timedelta(seconds=10)


class HistoryDeadLetters:
    """See ports.dead_letters.DeadLetterFinder."""

    def __init__(self, members: MemberWatch, open_channel: OpenChannel) -> None:
        self._channels = HistoryChannels(members, open_channel)

    async def find(
        self, listing: dead_letter_service_pb2.ListDeadLettersRequest, ids: Sequence[str] = ()
    ) -> dead_letter_service_pb2.FindDeadLettersResponse:
        """See ports.dead_letters.DeadLetterFinder."""
        request = dead_letter_service_pb2.FindDeadLettersRequest(listing=listing, ids=ids)
        async with self._channels.channel() as channel:
            stub = dead_letter_service_pb2_grpc.DeadLetterServiceStub(channel)
            return await stub.FindDeadLetters(request, timeout=FIND_DEADLINE.total_seconds())

    async def close(self) -> None:
        """Closes every channel."""
        await self._channels.close()
