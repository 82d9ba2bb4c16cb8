"""Dead letters as callers see them, and what they ask for."""

from collections.abc import Sequence
from dataclasses import replace

from chronos.history.v1.dead_letter_pb2 import DeadLetter as DeadLetterMessage
from chronos.history.v1.dead_letter_service_pb2 import (
    FindDeadLettersRequest,
    ListDeadLettersRequest,
    PurgeDeadLettersRequest,
)

from libs.names import DEFAULT_NAMESPACE
from services.history.convert import detailed_execution_from, execution_from, uuid_text
from services.history.convert_queries import us_from, us_up
from services.history.dead_letters import DetailedLetter
from services.history.domain.dead_letters import Choice, DeadLetter
from services.history.domain.moments import LAST_US
from services.history.executions import Detailed

NO_ATTEMPTS = b""


def dead_letters_from(letters: Sequence[DeadLetter]) -> list[DeadLetterMessage]:
    """Dead letters as lists show them: without attempts."""
    return [
        DeadLetterMessage(
            id=uuid_text(letter.record.id),
            execution=execution_from(letter.record._replace(attempts=NO_ATTEMPTS)),
            replayed_by=_replayed_by(letter),
        )
        for letter in letters
    ]


def detailed_letter_from(detailed: DetailedLetter) -> DeadLetterMessage:
    """A dead letter with its attempts, and the request that it was first sent with."""
    letter = detailed.letter
    execution = detailed_execution_from(Detailed(record=letter.record, definition=detailed.definition))
    return DeadLetterMessage(id=execution.id, execution=execution, replayed_by=_replayed_by(letter))


def choice_from(request: ListDeadLettersRequest | PurgeDeadLettersRequest) -> Choice:
    """Which dead letters a caller chooses."""
    return Choice(
        namespace=request.namespace or DEFAULT_NAMESPACE,
        job_id=request.job_id,
        statuses=frozenset(map(int, request.status)),
        reason_codes=frozenset(map(int, request.reason)),
        from_us=us_from(getattr(request, "from")) if request.HasField("from") else 0,
        to_us=us_up(request.to) if request.HasField("to") else LAST_US + 1,
        with_replayed=request.include_replayed,
    )


def found_choice_from(request: FindDeadLettersRequest) -> Choice:
    """Which dead letters another service chooses."""
    ids = tuple(bytes.fromhex(text.replace("-", "")) for text in request.ids)
    return replace(choice_from(request.listing), ids=ids)


def _replayed_by(letter: DeadLetter) -> str:
    return uuid_text(letter.replayed_by) if letter.replayed_by else ""
