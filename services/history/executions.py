"""Looking executions up."""

import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from libs import paging
from libs.faults import InvalidArgument, NotFound
from services.history.domain.moments import LAST_US
from services.history.domain.records import Record
from services.history.ports import Archive, ExecutionQuery, Page

ID = re.compile("[0-9a-f]{32}")
MOST_CHARACTERS = 1024 * 1024
"""In the responses and errors of one page: at most half of what a message may weigh."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionPage:
    """One page of a list, newest scheduled time first, without attempts."""

    records: tuple[Record, ...]
    next_page_token: str


class Executions:
    """What ran in a namespace."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive

    async def get(self, namespace: str, job_id: str, execution_id: str) -> Record:
        """An execution with its attempts. An empty `job_id` means any; raises NotFound for another job's."""
        record = await self._archive.find(namespace, uuid.UUID(execution_id).bytes)
        if record is None or job_id not in ("", record.job_id):
            owner = f'job "{job_id}" of namespace "{namespace}"' if job_id else f'namespace "{namespace}"'
            raise NotFound(
                f"There is no execution {execution_id} in {owner}; list its executions to see the ids, "
                "and mind that old ones are deleted.",
                reason="EXECUTION_NOT_FOUND",
            )
        return record

    async def list(
        self, namespace: str, job_id: str, statuses: Sequence[int], page_size: int, page_token: str
    ) -> ExecutionPage:
        """One page. Empty `job_id` and `statuses` mean all. Raises InvalidArgument for a token of another list."""
        scope = [namespace, job_id, *sorted({str(int(status)) for status in statuses})]
        query = ExecutionQuery(
            namespace=namespace,
            job_id=job_id,
            statuses=frozenset(int(status) for status in statuses),
            after=_place(paging.decode_token(page_token, query=scope)),
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


def _place(position: "Sequence[str | int] | None") -> tuple[int, bytes] | None:
    if position is None:
        return None
    match position:
        case [int() as scheduled_us, str() as last_id] if 0 <= scheduled_us <= LAST_US and ID.fullmatch(last_id):
            return scheduled_us, bytes.fromhex(last_id)
    raise InvalidArgument.of("page_token", "is not a token; pass next_page_token as it was returned")
