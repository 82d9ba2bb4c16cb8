"""The account of what policies decided."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from libs import paging
from libs.faults import InvalidArgument, Unavailable
from services.history import metrics
from services.history.domain.decisions import Decision, DecisionChoice, first_of_each
from services.history.domain.moments import LAST_US
from services.history.ports import Archive, DecisionQuery, Ledger
from services.history.write_health import WriteHealth

ID = re.compile("[0-9a-f]{32}")
MOST_BYTES = 2 * 1024 * 1024
"""In the decisions of one page: a part of what a message may weigh, since they are longer as JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionPage:
    """One page of a list, newest first."""

    decisions: Sequence[Decision]
    next_page_token: str


class Decisions:
    """What policies decided in a namespace."""

    def __init__(self, ledger: Ledger, archive: Archive, health: WriteHealth) -> None:
        self._ledger = ledger
        self._archive = archive
        self._health = health

    async def record(self, decisions: Iterable[Decision]) -> None:
        """Accounts for decisions; of each id the first telling stays. Durable when it returns. Raises Unavailable."""
        told = first_of_each(decisions)
        if not told:
            return
        try:
            new = await self._ledger.record_decisions(told)
        except Unavailable as fault:
            self._health.failed(fault)
            raise
        self._health.worked()
        metrics.count_decisions(Counter(decision.outcome for decision in told if decision.id in new))

    async def list(self, choice: DecisionChoice, page_size: int, page_token: str) -> DecisionPage:
        """One page. Raises InvalidArgument for a token of another list, and for bounds that exclude everything."""
        if choice.to_us <= choice.from_us:
            raise InvalidArgument.of(
                "to", "must be after `from`, for example from=2026-01-01T00:00:00Z&to=2026-01-02T00:00:00Z"
            )
        scope = _scope(choice)
        after = _place(paging.decode_token(page_token, query=scope))
        limit = paging.page_size(page_size)
        found = await self._archive.decisions(DecisionQuery(choice=choice, after=after, limit=limit + 1))
        shown = found[: min(limit, _fitting(found))]
        if len(shown) == len(found):
            return DecisionPage(decisions=shown, next_page_token="")
        last = shown[-1]
        token = paging.encode_token([last.time_us, last.id.hex()], query=scope)
        return DecisionPage(decisions=shown, next_page_token=token)


def _scope(choice: DecisionChoice) -> list[str]:
    """What tells a list from others."""
    whole = replace(choice, outcomes=frozenset(), operations=frozenset())
    return ["decisions", repr(whole), repr(sorted(choice.outcomes)), repr(sorted(choice.operations))]


def _fitting(decisions: Sequence[Decision]) -> int:
    """How many fit into a message; at least one."""
    size = 0
    for place, decision in enumerate(decisions):
        size += len(decision.content)
        if size > MOST_BYTES and place > 0:
            return place
    return len(decisions)


def _place(position: "Sequence[str | int] | None") -> tuple[int, bytes] | None:
    if position is None:
        return None
    match position:
        case [int() as time_us, str() as last_id] if 0 <= time_us <= LAST_US and ID.fullmatch(last_id):
            return time_us, bytes.fromhex(last_id)
    raise InvalidArgument.of("page_token", "is not a token; pass next_page_token as it was returned")
