"""One channel to each replica of a service that is used."""

import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import grpc

from libs.etcd.membership import MemberWatch
from libs.rpc.cancellation import unasked_is_unavailable
from libs.rpc.channel import fault_from

OpenChannel = Callable[[str], grpc.aio.Channel]


@dataclass(slots=True)
class _Line:
    """A channel, and how many calls use it."""

    channel: grpc.aio.Channel
    calls: int = 0


class MemberChannels:
    """Opens a channel at its first use. One to who is no member any more is closed once no call uses it."""

    def __init__(self, members: MemberWatch, open_channel: OpenChannel) -> None:
        self._members = members
        self._open_channel = open_channel
        self._lines: dict[str, _Line] = {}

    def addresses(self) -> list[str]:
        """Where the live members are, in random order."""
        addresses = [member.address for member in self._members.members.values()]
        return random.sample(addresses, len(addresses))

    @asynccontextmanager
    async def to(self, address: str) -> AsyncIterator[grpc.aio.Channel]:
        """For calls to a member. What goes wrong with them comes out as a fault.

        Raises Unavailable when the call was cancelled but not the task that awaits it.
        """
        await self._close_unused()
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

    async def _close_unused(self) -> None:
        live = {member.address for member in self._members.members.values()}
        unused = [address for address, line in self._lines.items() if address not in live and not line.calls]
        for line in [self._lines.pop(address) for address in unused]:
            await line.channel.close()
