"""HTTP requests that go nowhere."""

import asyncio

from services.dispatcher.domain.results import Answer, Failure
from services.dispatcher.domain.targets.plan import Request
from services.dispatcher.domain.targets.webhook import HttpRequest


class FakeSender:
    """Remembers requests, and answers from `results`, one after the other, the last one for ever.

    With `gate`, answers only once that is set. An exception among the results is raised.
    """

    def __init__(self, *results: Answer | Failure | Exception) -> None:
        self.requests: list[HttpRequest] = []
        self.results: list[Answer | Failure | Exception] = list(results) or [Answer(status_code=200)]
        self.gate: asyncio.Event | None = None
        self.most_at_once = 0
        self.at_once = 0

    async def send(self, request: Request) -> Answer | Failure:
        assert isinstance(request, HttpRequest)
        self.requests.append(request)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            if self.gate is not None:
                await self.gate.wait()
        finally:
            self.at_once -= 1
        result = self.results.pop(0) if len(self.results) > 1 else self.results[0]
        if isinstance(result, Exception):
            raise result
        return result
