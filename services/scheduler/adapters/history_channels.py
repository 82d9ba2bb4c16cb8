"""Channels to the histories."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
from chronos.history.v1 import ledger_service_pb2_grpc

from libs.etcd.membership import MemberWatch
from libs.faults import Unavailable
from libs.rpc.member_channels import MemberChannels, OpenChannel


class HistoryChannels:
    """Any live history will do for a call."""

    def __init__(self, members: MemberWatch, open_channel: OpenChannel) -> None:
        self._channels = MemberChannels(members, open_channel)

    @asynccontextmanager
    async def stub(self) -> AsyncIterator["ledger_service_pb2_grpc.LedgerServiceAsyncStub"]:
        """For calls to the ledger of a live history; see `channel`."""
        async with self.channel() as channel:
            yield ledger_service_pb2_grpc.LedgerServiceStub(channel)

    @asynccontextmanager
    async def channel(self) -> AsyncIterator[grpc.aio.Channel]:
        """For calls to one of the live histories, chosen at random; see MemberChannels.

        Raises Unavailable when there is none.
        """
        addresses = self._channels.addresses()
        if not addresses:
            raise Unavailable("no history service is there; start one")
        async with self._channels.to(addresses[0]) as channel:
            yield channel

    async def close(self) -> None:
        """Closes every channel, at the end."""
        await self._channels.close()
