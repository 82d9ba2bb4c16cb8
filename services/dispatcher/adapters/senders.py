"""The way out for each protocol."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from services.dispatcher.domain.results import Result
from services.dispatcher.domain.targets.plan import Request

Send = Callable[[Any], Awaitable[Result]]
"""Sends requests of one type."""


class Senders:
    """Hands each request to the sender of its type. See Sender."""

    def __init__(self, senders: Mapping[type[Request], Send]) -> None:
        self._senders = senders

    async def send(self, request: Request) -> Result:
        """See Sender."""
        return await self._senders[type(request)](request)
