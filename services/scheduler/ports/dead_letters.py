"""Dead letters, as history keeps them."""

from collections.abc import Sequence
from typing import Protocol

from chronos.history.v1 import dead_letter_service_pb2


class DeadLetterFinder(Protocol):
    """Looks dead letters up."""

    async def find(
        self, listing: dead_letter_service_pb2.ListDeadLettersRequest, ids: Sequence[str] = ()
    ) -> dead_letter_service_pb2.FindDeadLettersResponse:
        """One page of a list, the last to die first; of it only these `ids` (at most 1,000) when there are any.

        Raises InvalidArgument for a token of another list, Unavailable when history is away.
        """
