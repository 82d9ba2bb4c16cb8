"""Connections to gRPC servers, shared by the calls to one server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

import grpc

from libs.clock import Clock
from services.dispatcher.adapters.checked_addresses import Addresses
from services.dispatcher.adapters.grpc_channels import connect
from services.dispatcher.adapters.grpc_errors import NotConnectedError, no_connection_within
from services.dispatcher.adapters.pool import Pool, open_pool
from services.dispatcher.domain.results import Failure
from services.dispatcher.domain.targets.grpc import GrpcServer

CONNECT_TIMEOUT = timedelta(seconds=10)
IDLE = timedelta(minutes=5)
LIMIT = 1_024


@dataclass(slots=True, eq=False)
class Link:
    """A channel, and how many calls are under way on it. One that is retired goes with the last of them."""

    channel: grpc.aio.Channel
    users: int = 0
    is_retired: bool = False

    @property
    def is_up(self) -> bool:
        """Whether the connection stands, as far as is known."""
        return not self.is_retired and self.channel.get_state() is grpc.ChannelConnectivity.READY


class Links:
    """Hands out connections that stand. One that broke, or that the server wants to end, is replaced by a new one."""

    def __init__(self, pool: Pool[GrpcServer, Link]) -> None:
        self._pool = pool

    def __len__(self) -> int:
        """Servers that there are connections to, or soon will be."""
        return len(self._pool)

    async def take(self, server: GrpcServer, timeout: timedelta) -> Link | Failure:
        """A connection, to be given back; or why there is none: then nothing was sent."""
        span = min(timeout, CONNECT_TIMEOUT)
        try:
            async with asyncio.timeout(span.total_seconds()):
                link = await self._find(server)
        except NotConnectedError as error:
            return error.failure
        except TimeoutError:
            return no_connection_within(span, server)
        link.users += 1
        return link

    async def give_back(self, link: Link) -> None:
        """The call is over."""
        link.users -= 1
        if link.is_retired and not link.users:
            await link.channel.close()

    async def _find(self, server: GrpcServer) -> Link:
        while not (link := await self._pool.get(server)).is_up:
            await self._pool.drop(server, link)
        return link


@asynccontextmanager
async def open_links(
    addresses: Addresses, clock: Clock, *, ca_file: str = "", limit: int = LIMIT, idle: timedelta = IDLE
) -> AsyncIterator[Links]:
    """Connections to at most `limit` servers, closed after `idle` without calls, and all of them at the end."""

    async def dial(server: GrpcServer) -> Link:
        address = await addresses.find(server.host, server.port)
        if isinstance(address, Failure):
            raise NotConnectedError(address)
        return Link(await connect(server, address, ca_file=ca_file))

    async with open_pool(dial, _retire, limit=limit, idle=idle, clock=clock) as pool:
        yield Links(pool)


async def _retire(link: Link) -> None:
    link.is_retired = True
    if not link.users:
        await link.channel.close()
