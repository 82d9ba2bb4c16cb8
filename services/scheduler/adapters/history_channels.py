"""One channel to each history that is used."""

import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import grpc
from chronos.history.v1 import ledger_service_pb2_grpc

from libs.etcd.membership import MemberWatch
from libs.faults import Unavailable
from libs.rpc.cancellation import unasked_is_unavailable
from libs.rpc.channel import fault_from

OpenChannel = Callable[[str], grpc.aio.Channel]


@dataclass(slots=True)
class _Line:
    """A channel, and how many calls use it."""

    channel: grpc.aio.Channel
    calls: int = 0


class HistoryChannels:
    """Opens a channel at its first use. One to a history that is no member any more is closed once no call uses it."""

    def __init__(self, members: MemberWatch, open_channel: OpenChannel) -> None:
        self._members = members
        self._open_channel = open_channel
        self._lines: dict[str, _Line] = {}

    @asynccontextmanager
    async def stub(self) -> AsyncIterator["ledger_service_pb2_grpc.LedgerServiceAsyncStub"]:
        """For calls to the ledger of a live history; see `channel`."""
        async with self.channel() as channel:
            yield ledger_service_pb2_grpc.LedgerServiceStub(channel)

    @asynccontextmanager
    async def channel(self) -> AsyncIterator[grpc.aio.Channel]:
        """For calls to one of the live histories, chosen at random. What goes wrong with them comes out as a fault.

        Raises Unavailable when there is none, or when the call was cancelled but not the task that awaits it.
        """
        members = list(self._members.members.values())
        if not members:
            raise Unavailable("no history service is there; start one")
        await self._close_unused({member.address for member in members})
        address = random.choice(members).address
        line = self._lines.get(address)
        if line is None:
            line = self._lines[address] = _Line(self._open_channel(address))
        line.calls += 1
        try:
            with unasked_is_unavailable():
                yield line.channel
        except grpc.aio.AioRpcError as error:
            raise fault_from(error) from error
        finally:
            line.calls -= 1

    async def close(self) -> None:
        """Closes every channel, at the end."""
        lines, self._lines = list(self._lines.values()), {}
        for line in lines:
            await line.channel.close()

    async def _close_unused(self, addresses: set[str]) -> None:
        unused = [address for address, line in self._lines.items() if address not in addresses and not line.calls]
        for line in [self._lines.pop(address) for address in unused]:
            await line.channel.close()
