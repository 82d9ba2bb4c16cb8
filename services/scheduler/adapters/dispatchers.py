"""Streams to the dispatchers: one to each that is alive, opened again when it breaks."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import timedelta
from typing import Protocol

import grpc
from chronos.cluster.v1.cluster_pb2 import Member
from chronos.dispatcher.v1 import delivery_service_pb2, delivery_service_pb2_grpc
from chronos.history.v1 import execution_pb2

from libs.clock import Clock
from libs.etcd.membership import MemberWatch
from libs.faults import Unavailable
from libs.log import get_logger
from libs.rpc.cancellation import unasked_is_unavailable
from services.scheduler.convert.firing import delivery_of
from services.scheduler.domain.occurrence import Run
from services.scheduler.ports.ledger import DispatcherLink

SHORTEST_PAUSE = timedelta(milliseconds=50)
LONGEST_PAUSE = timedelta(seconds=1)
OpenChannel = Callable[[str], grpc.aio.Channel]


class Listener(Protocol):
    """Who wants to know what happens on the links."""

    def link_opened(self, link: DispatcherLink) -> None:
        """A stream is open."""

    def link_answered(self, link: DispatcherLink, response: delivery_service_pb2.DeliverResponse) -> None:
        """A dispatcher reports."""

    def link_broken(self, link: DispatcherLink) -> None:
        """A stream is gone; nothing more comes of it."""

    def dispatcher_gone(self, instance: str) -> None:
        """A dispatcher is no member any more, or cannot be reached."""


class Link:
    """One stream. What is sent waits in memory until the stream takes it; credit bounds how much that is."""

    def __init__(self, instance: str) -> None:
        self._instance = instance
        self._requests: asyncio.Queue[delivery_service_pb2.DeliverRequest | None] = asyncio.Queue()

    @property
    def instance(self) -> str:
        """See ports.DispatcherLink."""
        return self._instance

    def send(self, runs: Sequence[Run]) -> None:
        """See ports.DispatcherLink."""
        self._requests.put_nowait(delivery_service_pb2.DeliverRequest(deliveries=[delivery_of(run) for run in runs]))

    def adopt(self, execution_ids: Sequence[str]) -> None:
        """See ports.DispatcherLink."""
        self._requests.put_nowait(delivery_service_pb2.DeliverRequest(adopt_execution_ids=execution_ids))

    def cancel(self, execution_id: str, reason: str, code: "execution_pb2.Execution.Reason.ValueType") -> None:
        """See ports.DispatcherLink."""
        wish = delivery_service_pb2.Cancellation(execution_id=execution_id, reason=reason, reason_code=code)
        self._requests.put_nowait(delivery_service_pb2.DeliverRequest(cancellations=[wish]))

    async def requests(self) -> AsyncIterator[delivery_service_pb2.DeliverRequest]:
        """What the stream sends, until `close`."""
        while (request := await self._requests.get()) is not None:
            yield request

    def close(self) -> None:
        """Ends `requests`. A stream that ended otherwise would leave its reader waiting there."""
        self._requests.put_nowait(None)


class DispatcherPool:
    """Keeps a stream open to every live dispatcher, and tells the listener."""

    def __init__(self, members: MemberWatch, open_channel: OpenChannel, listener: Listener, clock: Clock) -> None:
        self._members = members
        self._open_channel = open_channel
        self._listener = listener
        self._clock = clock
        self._tried: set[str] = set()
        self._open: set[str] = set()
        self._settling: dict[asyncio.Event, None] = {}
        self._log = get_logger()

    async def settled(self, *, deadline: timedelta) -> None:
        """Waits until every known dispatcher was tried once, at most until the deadline."""
        end = self._clock.monotonic() + deadline.total_seconds()
        changed = asyncio.Event()
        self._settling[changed] = None
        try:
            while (left := end - self._clock.monotonic()) > 0:
                if self._members.version and self._tried.issuperset(self._members.members):
                    return
                changed.clear()
                await self._clock.wait(changed, timedelta(seconds=left))
        finally:
            del self._settling[changed]

    async def run(self) -> None:
        """Serves every dispatcher that is a member; for ever."""
        serving: dict[str, asyncio.Task[None]] = {}
        seen = 0
        async with asyncio.TaskGroup() as group:
            while True:
                seen = await self._members.changed(seen)
                for instance in serving.keys() - self._members.members.keys():
                    serving.pop(instance).cancel()
                    self._tried.discard(instance)
                for instance, member in self._members.members.items():
                    if instance not in serving:
                        serving[instance] = group.create_task(self._serve(member), name=f"link to {member.replica}")
                self._tell_settling()

    async def _serve(self, member: Member) -> None:
        pause = SHORTEST_PAUSE
        try:
            while True:
                was_open = await self._try_stream(member)
                self._note_tried(member)
                if not was_open:
                    self._listener.dispatcher_gone(member.instance)
                pause = SHORTEST_PAUSE if was_open else min(2 * pause, LONGEST_PAUSE)
                await self._clock.sleep(pause)
        finally:
            self._listener.dispatcher_gone(member.instance)

    def _note_tried(self, member: Member) -> None:
        self._tried.add(member.instance)
        self._tell_settling()

    def _tell_settling(self) -> None:
        for changed in self._settling:
            changed.set()

    async def _try_stream(self, member: Member) -> bool:
        """Serves one stream to its end, and says whether it was ever open."""
        self._open.discard(member.instance)
        try:
            with unasked_is_unavailable():
                await self._stream(member)
        except Unavailable as error:
            self._log.warning("stream to dispatcher broke", dispatcher=member.replica, error=error.message)
        except grpc.aio.AioRpcError as error:
            self._log.info("stream to dispatcher ended", dispatcher=member.replica, code=error.code().name)
        return member.instance in self._open

    async def _stream(self, member: Member) -> None:
        async with self._open_channel(member.address) as channel:
            link = Link(member.instance)
            call = delivery_service_pb2_grpc.DeliveryServiceStub(channel).Deliver(link.requests())
            try:
                async for response in call:
                    if member.instance not in self._open:
                        self._open.add(member.instance)
                        self._listener.link_opened(link)
                        self._note_tried(member)
                    self._listener.link_answered(link, response)
            finally:
                link.close()
                call.cancel()
                if member.instance in self._open:
                    self._listener.link_broken(link)
