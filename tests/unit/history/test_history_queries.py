"""What callers may ask for."""

from datetime import UTC, datetime

import pytest
from chronos.history.v1.execution_pb2 import Execution
from chronos.history.v1.execution_service_pb2 import ListExecutionsRequest
from chronos.history.v1.ledger_service_pb2 import FindExecutionsRequest
from google.protobuf.json_format import ParseDict
from google.protobuf.timestamp_pb2 import Timestamp

from libs.faults import InvalidArgument
from services.history.convert_queries import listing_from, search_from
from services.history.domain.moments import LAST_US, to_us
from services.history.ports import Search

ID = "0194265a-0000-7000-8000-00000000002a"
DAY_US = to_us(datetime(2026, 1, 1, tzinfo=UTC))


def test_a_search_without_bounds_is_of_everything() -> None:
    assert search_from(FindExecutionsRequest(job_id="report")) == Search(
        namespace="default", job_id="report", limit=1_000
    )


def test_a_search_is_as_it_was_asked() -> None:
    asked = {"namespace": "ops", "ids": [ID], "from": "2026-01-01T00:00:00Z", "to": "2026-01-01T00:00:00.000001500Z"}
    search = search_from(ParseDict(asked | {"limit": 7, "with_stretches": True}, FindExecutionsRequest()))
    assert search == Search(
        namespace="ops",
        ids=(bytes.fromhex(ID.replace("-", "")),),
        from_us=DAY_US,
        to_us=DAY_US + 2,
        with_stretches=True,
        limit=7,
    )


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (FindExecutionsRequest(), "job_id"),
        (FindExecutionsRequest(ids=[ID, "seven"]), "ids[1]"),
        (FindExecutionsRequest(ids=[ID] * 5_001), "ids"),
        (FindExecutionsRequest(job_id="report", limit=5_001), "limit"),
        (FindExecutionsRequest(job_id="report", limit=-1), "limit"),
    ],
)
def test_a_search_that_is_none_is_refused_by_its_field(request_: FindExecutionsRequest, field: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        search_from(request_)
    assert [violation.field for violation in caught.value.violations] == [field]


def test_bounds_out_of_all_bounds_are_the_nearest() -> None:
    request = FindExecutionsRequest(job_id="report", to=Timestamp(seconds=2**62))
    getattr(request, "from").seconds = -(2**62)
    search = search_from(request)
    assert (search.from_us, search.to_us) == (0, LAST_US)


def test_a_list_without_bounds_has_none() -> None:
    listing = listing_from(ListExecutionsRequest(status=[Execution.LOST]))
    assert (listing.namespace, listing.from_us, listing.to_us, list(listing.statuses)) == ("default", None, None, [8])
