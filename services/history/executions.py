"""Looking executions up."""

import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from libs import paging
from libs.faults import InvalidArgument, NotFound
from services.history.domain.dead_letters import Choice
from services.history.domain.moments import LAST_US
from services.history.domain.records import Definition, Record
from services.history.ports import Archive, DeadLetterQuery, ExecutionQuery, Page, Search

ID = re.compile("[0-9a-f]{32}")
MOST_CHARACTERS = 1024 * 1024
"""In the responses and errors of one page: at most half of what a message may weigh."""
MOST_FOUND_BYTES = 4 * 1024 * 1024
"""In what `find` gives, roughly: half of what a message may weigh."""
NO_DEFINITION = Definition(b"", b"", b"")
RECORD_BYTES = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Detailed:
    """An execution with its attempts, and what is known of how it was delivered."""

    record: Record
    definition: Definition | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Executions with their attempts, newest scheduled time first; at the same places how they were delivered."""

    records: tuple[Record, ...]
    definitions: tuple[Definition, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """Which executions to list. Empty `job_id` and `statuses` mean all; moments are None where there is no bound."""

    namespace: str
    job_id: str = ""
    statuses: Sequence[int] = ()
    from_us: int | None = None
    """Scheduled at or after this moment."""
    to_us: int | None = None
    """Scheduled before this moment."""

    @property
    def scope(self) -> list[str]:
        """What tells it from other lists."""
        scope = [self.namespace, self.job_id, *sorted({str(int(status)) for status in self.statuses})]
        bounds = {"from": self.from_us, "to": self.to_us}
        return scope + [f"{name} {bound}" for name, bound in bounds.items() if bound is not None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionPage:
    """One page of a list, newest scheduled time first, without attempts."""

    records: tuple[Record, ...]
    next_page_token: str


class Executions:
    """What ran in a namespace."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive

    async def get(self, namespace: str, job_id: str, execution_id: str) -> Detailed:
        """An execution. An empty `job_id` means any; raises NotFound for another job's."""
        record = await self._archive.find(namespace, uuid.UUID(execution_id).bytes)
        if record is None or job_id not in ("", record.job_id):
            owner = f'job "{job_id}" of namespace "{namespace}"' if job_id else f'namespace "{namespace}"'
            raise NotFound(
                f"There is no execution {execution_id} in {owner}; list its executions to see the ids, "
                "and mind that old ones are deleted.",
                reason="EXECUTION_NOT_FOUND",
            )
        if not record.definition_id:
            return Detailed(record=record, definition=None)
        known = await self._archive.definitions([record.definition_id])
        return Detailed(record=record, definition=known.get(record.definition_id))

    async def find(self, search: Search, *, with_definitions: bool) -> Found:
        """What a search asks for, without responses; fewer, of which the newest, where all would weigh too much.

        Looked up by their ids, dead letters are there after their executions have gone.
        """
        records: Sequence[Record] = await self._archive.search(search)
        if search.ids and len(records) < len(search.ids):
            records = await self._with_dead(search, records)
        known: Mapping[bytes, Definition] = {}
        if with_definitions:
            ids = list(dict.fromkeys(record.definition_id for record in records if record.definition_id))
            known = await self._archive.definitions(ids)
        definitions = [known.get(record.definition_id, NO_DEFINITION) for record in records]
        count = _fitting(records, definitions)
        return Found(records=tuple(records[:count]), definitions=tuple(definitions[:count]) if with_definitions else ())

    async def _with_dead(self, search: Search, records: Sequence[Record]) -> Sequence[Record]:
        """The same, with those of which only a dead letter is left."""
        known = {record.id for record in records}
        missing = tuple(each for each in search.ids if each not in known)
        choice = Choice(namespace=search.namespace, job_id=search.job_id, ids=missing, with_replayed=True)
        letters = await self._archive.dead_letters(DeadLetterQuery(choice=choice, limit=search.limit))
        dead = [letter.record for letter in letters if search.from_us <= letter.record.scheduled_us < search.to_us]
        found = [*records, *(record._replace(response="") for record in dead)]
        return sorted(found, key=lambda record: (record.scheduled_us, record.id), reverse=True)[: search.limit]

    async def list(self, listing: Listing, page_size: int, page_token: str) -> ExecutionPage:
        """One page. Raises InvalidArgument for a token of another list, and for bounds that exclude everything."""
        lowest, end = listing.from_us or 0, LAST_US + 1 if listing.to_us is None else listing.to_us
        if listing.to_us is not None and end <= lowest:
            raise InvalidArgument.of(
                "to", "must be after `from`, for example from=2026-01-01T00:00:00Z&to=2026-01-02T00:00:00Z"
            )
        scope = listing.scope
        query = ExecutionQuery(
            namespace=listing.namespace,
            job_id=listing.job_id,
            statuses=frozenset(int(status) for status in listing.statuses),
            after=_place(paging.decode_token(page_token, query=scope)),
            from_us=lowest,
            to_us=end,
            limit=paging.page_size(page_size),
        )
        page = _bounded(await self._archive.page(query))
        if page.next is None:
            return ExecutionPage(records=page.records, next_page_token="")
        scheduled_us, last_id = page.next
        token = paging.encode_token([scheduled_us, last_id.hex()], query=scope)
        return ExecutionPage(records=page.records, next_page_token=token)


def _bounded(page: Page) -> Page:
    """The page, cut where it would not fit into a message any more."""
    size = 0
    for place, record in enumerate(page.records):
        size += len(record.response) + len(record.error)
        if size > MOST_CHARACTERS and place > 0:
            last = page.records[place - 1]
            return Page(records=page.records[:place], next=(last.scheduled_us, last.id))
    return page


def _fitting(records: Sequence[Record], definitions: Sequence[Definition]) -> int:
    """How many fit into a message; at least one."""
    size = 0
    for place, (record, definition) in enumerate(zip(records, definitions, strict=True)):
        size += RECORD_BYTES + len(record.attempts) + len(record.error) + len(record.details)
        size += len(definition.request) + len(definition.job)
        if size > MOST_FOUND_BYTES and place > 0:
            return place
    return len(records)


def _place(position: "Sequence[str | int] | None") -> tuple[int, bytes] | None:
    if position is None:
        return None
    match position:
        case [int() as scheduled_us, str() as last_id] if 0 <= scheduled_us <= LAST_US and ID.fullmatch(last_id):
            return scheduled_us, bytes.fromhex(last_id)
    raise InvalidArgument.of("page_token", "is not a token; pass next_page_token as it was returned")
