"""Puts the policies that are shipped where they are missing."""

from collections.abc import Sequence
from datetime import timedelta

from chronos.policy.v1 import policy_pb2

from libs.clock import Clock
from libs.faults import AlreadyExists, Unavailable
from libs.log import get_logger
from services.policy.policies import Policies

PAUSE = timedelta(milliseconds=100)
logger = get_logger()


async def ship(shipped: Sequence[policy_pb2.Policy], policies: Policies, clock: Clock) -> None:
    """Stores those whose id is free; what is there stays, changed or not. Waits for etcd.

    Safe to repeat and to call from all replicas at once. One whose name somebody else has taken is left out.
    """
    is_told = False
    left = list(shipped)
    while left:
        try:
            await _ship(left[0], policies)
            del left[0]
        except Unavailable as error:
            if not is_told:
                logger.warning("waiting for etcd", error=error.message)
            is_told = True
            await clock.sleep(PAUSE)


async def _ship(policy: policy_pb2.Policy, policies: Policies) -> None:
    try:
        await policies.ship(policy)
    except AlreadyExists as error:
        logger.info("shipped policy is left out", policy=policy.id, reason=error.message)
