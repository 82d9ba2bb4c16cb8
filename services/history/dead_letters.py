"""Looking dead letters up, and deleting them."""

import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace

from libs import paging
from libs.faults import InvalidArgument, NotFound
from services.history.domain.dead_letters import Choice, DeadLetter
from services.history.domain.moments import LAST_US
from services.history.domain.records import Definition
from services.history.ports import Archive, DeadLetterQuery, Ledger

ID = re.compile("[0-9a-f]{32}")
MOST_CHARACTERS = 1024 * 1024
"""In the responses and errors of one page: at most half of what a message may weigh."""
ROWS_A_STEP = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class DetailedLetter:
    """A dead letter with its attempts, and what is known of how it was delivered."""

    letter: DeadLetter
    definition: Definition | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetterPage:
    """One page of a list, the last to die first."""

    letters: Sequence[DeadLetter]
    next_page_token: str


class DeadLetters:
    """The deliveries of a namespace that failed for good."""

    def __init__(self, ledger: Ledger, archive: Archive) -> None:
        self._ledger = ledger
        self._archive = archive

    async def get(self, namespace: str, execution_id: str) -> DetailedLetter:
        """A dead letter, open or not. Raises NotFound."""
        query = DeadLetterQuery(choice=_one(namespace, execution_id), limit=1)
        found = await self._archive.dead_letters(query)
        if not found:
            raise _not_found(namespace, execution_id)
        definition_id = found[0].record.definition_id
        known = await self._archive.definitions([definition_id]) if definition_id else {}
        return DetailedLetter(letter=found[0], definition=known.get(definition_id))

    async def list(self, choice: Choice, page_size: int, page_token: str) -> DeadLetterPage:
        """One page. Raises InvalidArgument for a token of another list, and for bounds that exclude everything."""
        _ensure_bounds(choice)
        scope = _scope(choice)
        after = _place(paging.decode_token(page_token, query=scope))
        limit = paging.page_size(page_size)
        found = await self._archive.dead_letters(DeadLetterQuery(choice=choice, after=after, limit=limit + 1))
        shown = found[: min(limit, _fitting(found))]
        if len(shown) == len(found):
            return DeadLetterPage(letters=shown, next_page_token="")
        last = shown[-1].record
        token = paging.encode_token([last.completed_us or 0, last.id.hex()], query=scope)
        return DeadLetterPage(letters=shown, next_page_token=token)

    async def delete(self, namespace: str, execution_id: str) -> None:
        """Deletes a dead letter. Raises NotFound."""
        if not await self._ledger.delete_dead_letters(_one(namespace, execution_id), 1):
            raise _not_found(namespace, execution_id)

    async def purge(self, choice: Choice, *, validate_only: bool) -> int:
        """Deletes dead letters, in steps between which others write; gives how many went, or would go."""
        _ensure_bounds(choice)
        if validate_only:
            return sum((await self._archive.count_dead_letters(choice)).values())
        total = 0
        while deleted := await self._ledger.delete_dead_letters(choice, ROWS_A_STEP):
            total += deleted
        return total


def _one(namespace: str, execution_id: str) -> Choice:
    return Choice(namespace=namespace, ids=(uuid.UUID(execution_id).bytes,), with_replayed=True)


def _not_found(namespace: str, execution_id: str) -> NotFound:
    return NotFound(
        f'There is no dead letter {execution_id} in namespace "{namespace}"; list the dead letters to see their ids, '
        "and mind that old ones are deleted.",
        reason="DEAD_LETTER_NOT_FOUND",
    )


def _ensure_bounds(choice: Choice) -> None:
    if choice.to_us <= choice.from_us:
        raise InvalidArgument.of(
            "to", "must be after `from`, for example from=2026-01-01T00:00:00Z&to=2026-01-02T00:00:00Z"
        )


def _scope(choice: Choice) -> list[str]:
    """What tells a list from others."""
    whole = replace(choice, statuses=frozenset(), reason_codes=frozenset())
    return [repr(whole), repr(sorted(choice.statuses)), repr(sorted(choice.reason_codes))]


def _fitting(letters: Sequence[DeadLetter]) -> int:
    """How many fit into a message; at least one."""
    size = 0
    for place, letter in enumerate(letters):
        size += len(letter.record.response) + len(letter.record.error)
        if size > MOST_CHARACTERS and place > 0:
            return place
    return len(letters)


def _place(position: "Sequence[str | int] | None") -> tuple[int, bytes] | None:
    if position is None:
        return None
    match position:
        case [int() as died_us, str() as last_id] if 0 <= died_us <= LAST_US and ID.fullmatch(last_id):
            return died_us, bytes.fromhex(last_id)
    raise InvalidArgument.of("page_token", "is not a token; pass next_page_token as it was returned")
