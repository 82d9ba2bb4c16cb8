"""RabbitMQ through aiormq: publisher confirms always, a connection for each broker, a channel for each exchange."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from libs.clock import Clock
from services.dispatcher.adapters.checked_addresses import Addresses
from services.dispatcher.adapters.pool import Pool, open_pool
from services.dispatcher.adapters.rabbitmq_channels import Lane, Link, NotSent, refusing
from services.dispatcher.adapters.rabbitmq_connection import connect
from services.dispatcher.adapters.rabbitmq_errors import Refused, describe_connecting, describe_timeout
from services.dispatcher.domain.results import Failure, FailureKind, Receipt
from services.dispatcher.domain.targets.rabbitmq import Broker, RabbitmqRequest

MOST_CONNECTIONS = 256
MOST_CHANNELS = 1_024
IDLE = timedelta(minutes=5)
MOST_LANES = 5
"""Channels that a message tries, as long as it was not sent."""
LIBRARY = "aiormq"

LaneKey = tuple[Broker, str]


class RabbitmqSender:
    """Publishes messages. The timeout covers connecting, logging in, opening a channel, and the confirmation.

    Nothing is sent again by itself: a message is confirmed, or the attempt has failed.
    """

    def __init__(self, links: Pool[Broker, Link], lanes: Pool[LaneKey, Lane]) -> None:
        self._links = links
        self._lanes = lanes

    async def send(self, request: RabbitmqRequest) -> Receipt | Failure:
        """What the broker said, or why it said nothing, within the request's timeout."""
        deadline = asyncio.get_running_loop().time() + request.timeout.total_seconds()
        for _ in range(MOST_LANES):
            try:
                async with asyncio.timeout_at(deadline):
                    lane = await self._lane(request)
                return await lane.publish(request, deadline)
            except TimeoutError:
                return describe_timeout(request, is_connected=False)
            except Refused as refused:
                return refused.failure
            except NotSent:
                continue
        error = f"{request.broker} closed {MOST_LANES} channels before the message could be sent"
        return Failure(kind=FailureKind.UNREADY, error=error)

    async def _lane(self, request: RabbitmqRequest) -> Lane:
        """A channel that was open a moment ago. Raises Refused."""
        key = request.broker, request.exchange
        # Asking for the connection as well keeps it from being closed as idle.
        await self._links.get(request.broker)
        lane = await self._lanes.get(key)
        if lane.is_open:
            return lane
        await self._lanes.drop(key, lane)
        return await self._lanes.get(key)


@asynccontextmanager
async def open_rabbitmq_sender(
    addresses: Addresses, clock: Clock, *, ca_file: str = ""
) -> AsyncIterator[RabbitmqSender]:
    """A sender; its connections are closed at the end. `ca_file` names authorities to trust beside the system's."""
    # What the library logs of connections, the executions tell; and it logs each broken one as an error.
    logging.getLogger(LIBRARY).setLevel(logging.CRITICAL)

    async def open_link(broker: Broker) -> Link:
        with refusing(lambda error: describe_connecting(error, broker)):
            return Link(broker, *await connect(broker, addresses, ca_file=ca_file))

    async with open_pool(open_link, Link.close, limit=MOST_CONNECTIONS, idle=IDLE, clock=clock) as links:

        async def open_lane(key: LaneKey) -> Lane:
            broker, exchange = key
            link = await links.get(broker)
            if not link.is_open:
                await links.drop(broker, link)
                link = await links.get(broker)
            return Lane(link, await link.open_channel(exchange))

        async with open_pool(open_lane, Lane.close, limit=MOST_CHANNELS, idle=IDLE, clock=clock) as lanes:
            yield RabbitmqSender(links, lanes)
