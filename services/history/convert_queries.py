"""What callers ask for, and the resume tokens of watches."""

import base64
import binascii

from chronos.history.v1.execution_service_pb2 import ListExecutionsRequest
from chronos.history.v1.ledger_service_pb2 import FindExecutionsRequest
from google.protobuf.timestamp_pb2 import Timestamp

from libs.faults import InvalidArgument
from libs.names import DEFAULT_NAMESPACE
from services.history.domain.moments import LAST_US
from services.history.executions import Listing
from services.history.ports import Position, Search

ID_BYTES = 16
MOST_FOUND = 5_000
USUALLY_FOUND = 1_000
MOST_SHOWN = 100
LARGEST_SEQ = 2**63 - 1


def listing_from(request: ListExecutionsRequest) -> Listing:
    """Which executions a caller wants to list."""
    return Listing(
        namespace=request.namespace or DEFAULT_NAMESPACE,
        job_id=request.job_id,
        statuses=request.status,
        from_us=us_from(getattr(request, "from")) if request.HasField("from") else None,
        to_us=us_up(request.to) if request.HasField("to") else None,
    )


def search_from(request: FindExecutionsRequest) -> Search:
    """What a scheduler searches for. Raises InvalidArgument for what would be no search, or one too large."""
    if not request.job_id and not request.ids:
        raise InvalidArgument.of("job_id", "must be given, or else ids: a whole namespace is not searched")
    if not 0 <= request.limit <= MOST_FOUND:
        raise InvalidArgument.of("limit", f"is {request.limit}; ask for 1 to {MOST_FOUND}, or 0 for {USUALLY_FOUND}")
    if len(request.ids) > MOST_FOUND:
        raise InvalidArgument.of("ids", f"are {len(request.ids)}; ask for at most {MOST_FOUND} at a time")
    return Search(
        namespace=request.namespace or DEFAULT_NAMESPACE,
        job_id=request.job_id,
        ids=tuple(_uuid(text, f"ids[{place}]") for place, text in enumerate(request.ids)),
        from_us=us_from(getattr(request, "from")) if request.HasField("from") else 0,
        to_us=us_up(request.to) if request.HasField("to") else LAST_US + 1,
        with_stretches=request.with_stretches,
        limit=request.limit or USUALLY_FOUND,
    )


def us_from(moment: Timestamp) -> int:
    """The microseconds of a timestamp; what is finer is cut off, and what is out of bounds is the nearest bound."""
    return max(0, min(moment.seconds * 1_000_000 + moment.nanos // 1_000, LAST_US))


def us_up(moment: Timestamp) -> int:
    """As `us_from`, but the next microsecond where there is something finer."""
    return min(us_from(moment) + (1 if moment.nanos % 1_000 else 0), LAST_US + 1)


def resume_token(position: Position) -> str:
    """A text for callers that stands for a position."""
    return base64.urlsafe_b64encode(f"{position.ledger_id}:{position.seq}".encode()).decode().rstrip("=")


def position_from(token: str) -> Position | None:
    """The position in a resume token, None in an empty one. Raises InvalidArgument for any other text."""
    if not token:
        return None
    try:
        text = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True).decode()
        ledger_id, seq = text.split(":")
        if not LARGEST_SEQ >= int(seq) >= 0:
            raise ValueError(seq)
        return Position(ledger_id=ledger_id, seq=int(seq))
    except (ValueError, binascii.Error) as error:
        raise InvalidArgument.of(
            "resume_token", "is not a token; pass the resume_token of the last message, or nothing to begin now"
        ) from error


def _uuid(text: str, field: str) -> bytes:
    try:
        raw = bytes.fromhex(text.replace("-", ""))
    except ValueError:
        raw = b""
    if len(raw) != ID_BYTES:
        raise InvalidArgument.of(
            field, f'is "{text[:MOST_SHOWN]}", no UUID; an example is 0194265a-0000-7000-8000-00000000002a'
        )
    return raw
