"""The policy service, reached at any of its replicas."""

from collections.abc import Sequence
from datetime import timedelta

from chronos.policy.v1 import decision_service_pb2, decision_service_pb2_grpc, policy_pb2

from libs.clock import Clock
from libs.etcd.membership import MemberWatch
from libs.faults import Fault, InvalidArgument, Unavailable
from libs.rpc.member_channels import MemberChannels, OpenChannel
from services.scheduler.ports.policies import Decided, PolicyBook

# For all replicas together, and for one when there are others.
DEADLINE = timedelta(seconds=2)
ATTEMPT_DEADLINE = timedelta(seconds=0.8)
PAUSE = timedelta(milliseconds=25)


class PolicyClient:
    """See ports.Policies."""

    def __init__(self, members: MemberWatch, open_channel: OpenChannel, book: PolicyBook, clock: Clock) -> None:
        self._channels = MemberChannels(members, open_channel)
        self._book = book
        self._clock = clock

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
        await self._channels.close()

    async def _ask_any(
        self, request: decision_service_pb2.DecideRequest, end: float
    ) -> decision_service_pb2.DecideResponse:
        """Asks the live replicas one by one until one answers, up to a moment of the monotonic clock."""
        addresses = self._channels.addresses()
        problem = "no policy service is there; start one"
        for address in addresses:
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
        async with self._channels.to(address) as channel:
            return await decision_service_pb2_grpc.DecisionServiceStub(channel).Decide(request, timeout=seconds)


def _unavailable(problem: str) -> Unavailable:
    return Unavailable(problem, reason="POLICIES_UNREACHABLE")
