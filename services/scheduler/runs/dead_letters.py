"""Dead letters that are repeated, one or many."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from chronos.history.v1 import dead_letter_service_pb2, execution_pb2
from chronos.scheduler.v1 import run_service_pb2

from libs.faults import Fault, NotFound, Unavailable, WrongState
from libs.names import DEFAULT_NAMESPACE
from services.scheduler.policies.questions import Extent, one_job
from services.scheduler.ports.dead_letters import DeadLetterFinder
from services.scheduler.runs.replays import Replays

Listing = dead_letter_service_pb2.ListDeadLettersRequest
AT_ONCE = 16
"""Replays that are promised at the same time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """How dead letters are to be repeated, and by whom."""

    skip_retries: bool = False
    request_id: str = ""
    """Makes it idempotent for 24 h; empty means that it is not."""
    actor: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayedPage:
    """What came of a page of dead letters, the last to die first."""

    ids: Sequence[str]
    """The dead letters that are repeated."""
    execution_ids: Sequence[str]
    """At the same places, the new executions; empty when nothing was asked for but a check."""
    failures: Sequence[tuple[str, Fault]]
    """Those that could not be repeated, and why."""
    next_page_token: str


class DeadLetterReplays:
    """Repeats deliveries that failed for good. History settles a dead letter once a replay of it has succeeded."""

    def __init__(self, letters: DeadLetterFinder, replays: Replays) -> None:
        self._letters = letters
        self._replays = replays

    async def replay(self, namespace: str, letter_id: str, wish: Wish) -> execution_pb2.Execution:
        """Promises a replay. Raises NotFound, WrongState when it is settled, and what `Replays.replay` raises."""
        namespace = namespace or DEFAULT_NAMESPACE
        listing = Listing(namespace=namespace, include_replayed=True)
        found = (await self._letters.find(listing, [letter_id])).dead_letters
        if not found:
            raise NotFound(
                f'there is no dead letter "{letter_id}" in namespace "{namespace}"; list the dead letters to see their '
                "ids",
                reason="DEAD_LETTER_NOT_FOUND",
                metadata={"dead_letter": letter_id},
            )
        if found[0].replayed_by:
            raise WrongState(
                f'the dead letter "{letter_id}" is settled, since {found[0].replayed_by} repeated it and succeeded; to '
                "repeat it all the same, replay its execution",
                reason="DEAD_LETTER_SETTLED",
                metadata={"replayed_by": found[0].replayed_by},
            )
        return await self._promise(namespace, letter_id, wish, one_job(runs=1))

    async def replay_page(self, listing: Listing, wish: Wish, *, validate_only: bool) -> ReplayedPage:
        """Promises replays of one page of a list of open dead letters.

        What cannot be repeated is left out and told. Once something is away, the rest is not tried any more.
        """
        page = await self._letters.find(listing)
        ids = [letter.id for letter in page.dead_letters]
        if validate_only:
            return ReplayedPage(ids=ids, execution_ids=(), failures=(), next_page_token=page.next_page_token)
        extent = Extent(jobs=len({letter.execution.job_id for letter in page.dead_letters}), runs=len(ids))
        outcomes = await self._promise_all(listing.namespace or DEFAULT_NAMESPACE, ids, wish, extent)
        together = list(zip(ids, outcomes, strict=True))
        promised = [(each, outcome.id) for each, outcome in together if not isinstance(outcome, Fault)]
        return ReplayedPage(
            ids=[letter_id for letter_id, _ in promised],
            execution_ids=[execution_id for _, execution_id in promised],
            failures=[(each, outcome) for each, outcome in together if isinstance(outcome, Fault)],
            next_page_token=page.next_page_token,
        )

    async def _promise_all(
        self, namespace: str, ids: Sequence[str], wish: Wish, extent: Extent
    ) -> Sequence[execution_pb2.Execution | Fault]:
        room = asyncio.Semaphore(AT_ONCE)
        away: list[Unavailable] = []

        async def promise(letter_id: str) -> execution_pb2.Execution | Fault:
            async with room:
                if away:
                    return away[0]
                try:
                    return await self._promise(namespace, letter_id, wish, extent)
                except Unavailable as fault:
                    away.append(fault)
                    return fault
                except Fault as fault:
                    return fault

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(promise(each)) for each in ids]
        return [task.result() for task in tasks]

    async def _promise(self, namespace: str, letter_id: str, wish: Wish, extent: Extent) -> execution_pb2.Execution:
        return await self._replays.replay(
            namespace,
            "",
            letter_id,
            run_service_pb2.RequestChanges(),
            skip_retries=wish.skip_retries,
            request_id=wish.request_id,
            actor=wish.actor,
            extent=extent,
        )
