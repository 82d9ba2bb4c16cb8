"""Channels in confirm mode: what was published is confirmed, or the caller hears that it was not."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from weakref import WeakValueDictionary

from aiormq import Channel
from aiormq.exceptions import AMQPConnectionError, ChannelClosed, ChannelInvalidStateError, ConnectionClosed
from pamqp.commands import Basic

from services.dispatcher.adapters.rabbitmq_connection import BrokerConnection, CheckedTransport
from services.dispatcher.adapters.rabbitmq_errors import (
    Refused,
    blocked_publishers,
    broken,
    describe_channel,
    describe_publishing,
    describe_size,
    describe_timeout,
    largest_message,
)
from services.dispatcher.domain.results import Failure, Receipt
from services.dispatcher.domain.targets.rabbitmq import Broker, RabbitmqRequest

GRACE_SECONDS = 10
MOST_NUMBER = 65_535
REPLY_SUCCESS = 200
TRANSIENT, PERSISTENT = 1, 2
MILLISECOND = timedelta(milliseconds=1)


class NotSent(Exception):
    """The channel was closed before the message could be sent."""


class Link:
    """A connection, shared by the channels of one broker."""

    def __init__(self, broker: Broker, connection: BrokerConnection, transport: CheckedTransport) -> None:
        self.broker = broker
        self.largest_message = 0
        """Bytes, once the broker has refused more; 0 until then."""
        self._connection = connection
        self._transport = transport
        self._number = 0
        self._is_leaving = False
        self._under_way: set[asyncio.Timeout] = set()
        self._is_quiet = asyncio.Event()
        self._is_quiet.set()
        connection.closing.add_done_callback(lambda _: self._release())

    @property
    def is_open(self) -> bool:
        """Whether anything may still be published over it."""
        return self._connection.is_opened and not self._is_leaving

    @property
    def is_connected(self) -> bool:
        """Whether what is under way may still be confirmed."""
        return self._connection.is_opened

    async def make_room(self) -> None:
        """Waits while the broker reads more slowly than we write."""
        await self._transport.make_room()

    @property
    def is_blocked(self) -> bool:
        """Whether the broker has said that it reads nothing for now, because of an alarm."""
        # The library tells it only by letting wait: one step shows whether there is anything to wait for.
        waiting = self._connection.ready()
        try:
            waiting.send(None)
        except StopIteration:
            return False
        waiting.close()
        return True

    @contextmanager
    def watching(self, scope: asyncio.Timeout) -> Iterator[None]:
        """Lets a wait end with the connection: a publish that has not left yet would not hear of it."""
        self._under_way.add(scope)
        self._is_quiet.clear()
        try:
            yield
        finally:
            self._under_way.discard(scope)
            if not self._under_way:
                self._is_quiet.set()

    async def open_channel(self, exchange: str) -> Channel:
        """A channel whose messages go to that exchange. Raises Refused, also when there is no such exchange.

        To publish to one that is missing would close the channel, with all that is under way on it.
        """
        with refusing(lambda error: describe_channel(error, self.broker, exchange)):
            channel = await self._connection.channel(self._new_number())
            if exchange:
                await channel.exchange_declare(exchange, passive=True)
            assert isinstance(channel, Channel)
            return channel

    async def close(self) -> None:
        """Lets what is under way finish, for some seconds, and closes the connection."""
        self._is_leaving = True
        await _wait(self._is_quiet)
        await self._connection.close(ConnectionClosed(REPLY_SUCCESS, "closed by the dispatcher"))

    def _new_number(self) -> int:
        # A number is free for the library before the broker has heard that its channel is closed: not the same again.
        most = self._connection.connection_tune.channel_max or MOST_NUMBER
        while True:
            self._number = self._number % most + 1
            if self._number not in self._connection.channels:
                return self._number

    def _release(self) -> None:
        now = asyncio.get_running_loop().time()
        for scope in self._under_way:
            if not scope.expired():
                scope.reschedule(now)


class Lane:
    """A channel for one exchange, so that what the broker holds against one exchange hits no other."""

    def __init__(self, link: Link, channel: Channel) -> None:
        self._link = link
        self._channel = channel
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._is_leaving = False
        self._under_way = 0
        self._company = 0
        """Messages that were under way when the first of them failed with the channel."""
        self._is_quiet = asyncio.Event()
        self._is_quiet.set()

    @property
    def is_open(self) -> bool:
        """Whether anything may still be published on it."""
        return self._link.is_open and not self._is_leaving and not self._is_closed

    @property
    def _is_closed(self) -> bool:
        # The broker has closed it as soon as there is a reason; the library knows only some steps later.
        return self._channel.is_closed or self._channel._close_exception is not None

    async def publish(self, request: RabbitmqRequest, deadline: float) -> Receipt | Failure:
        """Publishes a message and waits until it is confirmed, or the loop's clock shows `deadline`.

        Raises NotSent when the channel was closed while the message waited for its turn.
        """
        if self._link.is_blocked:
            return blocked_publishers(request.broker)
        if 0 < self._link.largest_message < len(request.body):
            return describe_size(request, self._link.largest_message)
        self._under_way += 1
        self._is_quiet.clear()
        try:
            return await self._publish(request, deadline)
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._is_quiet.set()

    async def close(self) -> None:
        """Lets what is under way finish, for some seconds, and closes the channel."""
        self._is_leaving = True
        await _wait(self._is_quiet)
        await self._channel.close(ChannelClosed(REPLY_SUCCESS, "closed by the dispatcher"))

    async def _publish(self, request: RabbitmqRequest, deadline: float) -> Receipt | Failure:
        try:
            async with asyncio.timeout_at(deadline) as scope:
                with self._link.watching(scope):
                    await self._exchange(request)
        except TimeoutError:
            if not self._link.is_connected:
                return broken(request.broker, "the connection broke")
            return describe_timeout(request, is_connected=True, is_blocked=self._link.is_blocked)
        except asyncio.CancelledError:
            if _is_cancelled():
                raise
            return broken(request.broker, "the connection broke")
        except NotSent:
            raise
        except ChannelInvalidStateError as error:
            raise NotSent from error
        except Exception as error:  # noqa: BLE001 - a sender raises nothing
            return self._describe(error, request)
        return Receipt(response=f"confirmed: {request.destination}")

    async def _exchange(self, request: RabbitmqRequest) -> None:
        # The library knows what a returned message answers by its id alone, so that two of one id take turns.
        async with self._turn(request.message_id):
            await self._link.make_room()
            if self._is_closed:
                raise NotSent
            # From here to the frames' place in the queue there is no wait, so that none follows the channel's end.
            await self._channel.basic_publish(
                request.body,
                exchange=request.exchange,
                routing_key=request.routing_key,
                properties=_properties(request),
                mandatory=request.is_mandatory,
                wait=False,
            )

    def _turn(self, message_id: str) -> asyncio.Lock:
        turn = self._turns.get(message_id)
        if turn is None:
            turn = self._turns[message_id] = asyncio.Lock()
        return turn

    def _describe(self, error: Exception, request: RabbitmqRequest) -> Failure:
        self._link.largest_message = largest_message(error) or self._link.largest_message
        if self._is_closed:
            self._company = self._company or self._under_way
        return describe_publishing(error, request, is_alone=self._company == 1)


@contextmanager
def refusing(describe: Callable[[Exception], Failure]) -> Iterator[None]:
    """Raises Refused for whatever goes wrong, but for a cancellation that is ours."""
    try:
        yield
    except Refused:
        raise
    except asyncio.CancelledError as error:
        if _is_cancelled():
            raise
        raise Refused(describe(AMQPConnectionError("the connection broke"))) from error
    except Exception as error:
        raise Refused(describe(error)) from error


def _is_cancelled() -> bool:
    """Whether it is this task that is to end: the library raises CancelledError for connections that are gone, too."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


def _properties(request: RabbitmqRequest) -> Basic.Properties:
    expiration = request.expiration
    return Basic.Properties(
        content_type=request.content_type or None,
        content_encoding=request.content_encoding or None,
        headers=dict(request.headers),
        delivery_mode=PERSISTENT if request.is_persistent else TRANSIENT,
        priority=request.priority,
        expiration=str(max(1, expiration // MILLISECOND)) if expiration is not None else None,
        message_id=request.message_id,
        timestamp=request.sent_at,
        message_type=request.job_id,
        app_id="chronos",
    )


async def _wait(quiet: asyncio.Event) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(GRACE_SECONDS):
            await quiet.wait()
