"""The policy service, reached at any of its replicas."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

import grpc
from chronos.policy.v1 import decision_service_pb2, decision_service_pb2_grpc, policy_pb2

from libs.clock import Clock
from libs.etcd.membership import MemberWatch
from libs.faults import Fault, InvalidArgument, Unavailable
from libs.rpc.cancellation import unasked_is_unavailable
from libs.rpc.channel import fault_from
from services.scheduler.ports.policies import Decided, PolicyBook

# For all replicas together, and for one when there are others.
DEADLINE = timedelta(seconds=2)
ATTEMPT_DEADLINE = timedelta(seconds=0.8)
PAUSE = timedelta(milliseconds=25)
OpenChannel = Callable[[str], grpc.aio.Channel]


@dataclass(slots=True)
class _Line:
    """A channel, and how many calls use it."""

    channel: grpc.aio.Channel
    calls: int = 0


class PolicyClient:
    """See ports.Policies."""

    def __init__(self, members: MemberWatch, open_channel: OpenChannel, book: PolicyBook, clock: Clock) -> None:
        self._members = members
        self._open_channel = open_channel
        self._book = book
        self._clock = clock
        self._lines: dict[str, _Line] = {}

    async def decide(
        self, questions: Sequence[decision_service_pb2.Question], *, draft: policy_pb2.Policy | None = None
    ) -> Decided:
        """See ports.Policies."""
        request = decision_service_pb2.DecideRequest(questions=questions, draft=draft)
        least = 0 if draft is not None else self._book.revision
        end = self._clock.monotonic() + DEADLINE.total_seconds()
        while True:
            answer = await self._ask_any(request, end)
            if answer.revision >= least and len(answer.answers) == len(questions):
                return Decided(answers=answer.answers, revision=answer.revision)
            if self._clock.monotonic() + PAUSE.total_seconds() >= end:
                raise _unavailable("no policy service has read the newest policies yet")
            await self._clock.sleep(PAUSE)

    async def close(self) -> None:
        """Closes every channel, at the end."""
        lines, self._lines = list(self._lines.values()), {}
        for line in lines:
            await line.channel.close()

    async def _ask_any(
        self, request: decision_service_pb2.DecideRequest, end: float
    ) -> decision_service_pb2.DecideResponse:
        """Asks the live replicas one by one until one answers, up to a moment of the monotonic clock."""
        addresses = [member.address for member in self._members.members.values()]
        await self._close_unused(set(addresses))
        problem = "no policy service is there; start one"
        for address in random.sample(addresses, len(addresses)):
            left = end - self._clock.monotonic()
            if left <= 0:
                break
            longest = ATTEMPT_DEADLINE.total_seconds() if len(addresses) > 1 else left
            try:
                return await self._ask(address, request, min(left, longest))
            except InvalidArgument as fault:
                if request.HasField("draft"):
                    raise
                problem = fault.message
            except Fault as fault:
                problem = fault.message
        raise _unavailable(problem)

    async def _ask(
        self, address: str, request: decision_service_pb2.DecideRequest, seconds: float
    ) -> decision_service_pb2.DecideResponse:
        line = self._lines.get(address)
        if line is None:
            line = self._lines[address] = _Line(self._open_channel(address))
        line.calls += 1
        try:
            with unasked_is_unavailable():
                stub = decision_service_pb2_grpc.DecisionServiceStub(line.channel)
                return await stub.Decide(request, timeout=seconds)
        except grpc.aio.AioRpcError as error:
            raise fault_from(error) from error
        finally:
            line.calls -= 1

    async def _close_unused(self, addresses: set[str]) -> None:
        unused = [address for address, line in self._lines.items() if address not in addresses and not line.calls]
        for line in [self._lines.pop(address) for address in unused]:
            await line.channel.close()


def _unavailable(problem: str) -> Unavailable:
    return Unavailable(problem, reason="POLICIES_UNREACHABLE")
