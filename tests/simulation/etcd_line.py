"""The connection of one client to one member of a simulated etcd, as gRPC's channels are."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from itertools import count

from libs.etcd.guard import Readers
from libs.faults import Fault
from tests.simulation.connections import Socket
from tests.simulation.etcd_requests import Answer, Hello, NotAnsweredError, Request
from tests.simulation.network import Network

CONNECT_SECONDS = 0.3


class Session:
    """One connection, until it breaks: then all that wait for an answer learn that none will come."""

    def __init__(self, socket: Socket) -> None:
        self.socket = socket
        self._waiting: dict[int, asyncio.Future[object]] = {}
        self._numbers = count(1)
        socket.on_message = self._received
        socket.on_broken = self._broken

    async def greet(self) -> None:
        """Returns when the member has shown that it runs."""
        await self._answer(0, Hello())

    async def ask(self, do: Callable[[], object], seconds: float, *, is_write: bool, is_local: bool) -> object:
        """What came of it. Raises NotAnsweredError after so many seconds, or when the connection breaks."""
        number = next(self._numbers)
        request = Request(number, do, is_write=is_write, is_local=is_local)
        timer = asyncio.get_running_loop().call_later(seconds, self._give_up, number)
        try:
            outcome = await self._answer(number, request)
        finally:
            timer.cancel()
        if isinstance(outcome, Fault):
            raise outcome
        return outcome

    async def _answer(self, number: int, message: object) -> object:
        if not self.socket.is_open:
            raise NotAnsweredError("etcd does not answer: the connection is closed")
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        self.socket.send(message)
        try:
            return await answer
        finally:
            self._waiting.pop(number, None)

    def _received(self, message: object) -> None:
        match message:
            case Answer(number, outcome):
                answer = self._waiting.get(number)
            case _:
                answer, outcome = self._waiting.get(0), None
        if answer is not None and not answer.done():
            answer.set_result(outcome)

    def _give_up(self, number: int) -> None:
        answer = self._waiting.get(number)
        if answer is not None and not answer.done():
            answer.set_exception(NotAnsweredError("etcd does not answer: Deadline Exceeded"))

    def _broken(self, reason: str) -> None:
        for answer in list(self._waiting.values()):
            if not answer.done():
                answer.set_exception(NotAnsweredError(f"etcd does not answer: {reason}"))


class Line:
    """Connects when somebody wants to speak, and again after a break."""

    def __init__(
        self, network: Network, node: str, address: str, confirmation: Callable[[], Callable[[], None]]
    ) -> None:
        """`confirmation` makes the step by which the member shows that it is up to date."""
        self.address = address
        self.readers = Readers()
        self._confirmation = confirmation
        self._network = network
        self._node = node
        self._session: Session | None = None

    def session(self) -> Session | None:
        """The open connection, if there is one."""
        session = self._session
        return session if session is not None and session.socket.is_open else None

    async def connects(self) -> bool:
        """Whether there is a connection, or is one within `CONNECT_SECONDS`. A refusal answers at once."""
        if self.session() is not None:
            return True
        session: Session | None = None
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                session = Session(await self.dial())
                await session.greet()
        except (ConnectionError, NotAnsweredError):
            return False
        except TimeoutError:
            if session is not None:
                session.socket.abort()
            return False
        if self.session() is None:
            self._session = session
        else:
            session.socket.close()
        return True

    async def confirm(self, timeout: timedelta) -> None:
        """See Guarded."""
        session = self.session() if await self.connects() else None
        if session is None:
            raise NotAnsweredError("etcd does not answer: failed to connect to all addresses")
        await session.ask(self._confirmation(), timeout.total_seconds(), is_write=False, is_local=False)

    async def dial(self) -> Socket:
        """A connection of its own. Waits for ever when the path is cut; raises ConnectionRefusedError."""
        return await self._network.connect(self._node, self.address)

    def close(self) -> None:
        """Ends the connection."""
        if self._session is not None:
            self._session.socket.close()
