"""Executions between proto and record."""

from datetime import UTC, datetime, timedelta

import pytest
from chronos.history.v1.execution_pb2 import Attempt, Execution, Request
from chronos.history.v1.ledger_service_pb2 import Definition as Told
from chronos.history.v1.ledger_service_pb2 import ExecutionRecord
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from libs.faults import InvalidArgument
from services.history.convert import definition_from, detailed_execution_from, execution_from
from services.history.convert_queries import position_from, resume_token
from services.history.convert_records import Limits, batch_from
from services.history.domain.records import Record
from services.history.executions import NO_DEFINITION, Detailed
from services.history.ports import Position

LIMITS = Limits(max_response_bytes=64, now_us=1_900_000_000_000_000)
DUE = datetime(2026, 1, 1, 12, tzinfo=UTC)


def at(span: timedelta = timedelta(0)) -> Timestamp:
    moment = Timestamp()
    moment.FromDatetime(DUE + span)
    return moment


def execution(**changes: object) -> Execution:
    message = Execution(
        id="0194265a-0000-7000-8000-00000000002a",
        namespace="ops",
        job_id="report",
        job_uid="u-1",
        job_name="Report",
        job_version=4,
        cause=Execution.MANUAL,
        scheduled_time=at(),
        started_at=at(timedelta(milliseconds=1)),
        completed_at=at(timedelta(milliseconds=21)),
        status=Execution.SUCCESS,
        attempt_count=2,
        status_code=200,
        response="done",
        delivery=2,
        trace_id="0194265a" * 4,
        attempts=[
            Attempt(number=1, started_at=at(), duration=Duration(seconds=1), error="refused", retry_at=at()),
            Attempt(number=2, started_at=at(), status_code=200),
        ],
    )
    for name, value in changes.items():
        message.ClearField(name)  # type: ignore[arg-type]
        if value is not None:
            setattr(message, name, value)
    return message


def kept(**changes: object) -> Record:
    return batch_from([ExecutionRecord(execution=execution(**changes), shard=5, epoch=9)], LIMITS).records[0]


def test_an_execution_comes_back_as_it_went_in_with_its_duration() -> None:
    expected = execution()
    expected.duration.FromTimedelta(timedelta(milliseconds=20))
    assert execution_from(kept()) == expected


def test_an_execution_that_has_not_begun_has_no_times() -> None:
    found = execution_from(kept(status=Execution.PENDING, started_at=None, completed_at=None))
    assert [found.HasField(name) for name in ("started_at", "completed_at", "duration")] == [False] * 3


def test_a_finished_execution_without_an_end_ended_when_it_was_told() -> None:
    assert kept(completed_at=None).completed_us == LIMITS.now_us


def test_an_unfinished_execution_has_no_end() -> None:
    assert kept(status=Execution.RUNNING).completed_us is None


def test_a_long_response_is_cut_between_characters() -> None:
    record = kept(response="é" * 40)
    assert (record.response, record.is_response_truncated) == ("é" * 32, 1)
    assert kept(response="é" * 32).is_response_truncated == 0
    assert kept(response="a" + "é" * 32).response == "a" + "é" * 31


def test_a_response_that_was_cut_before_stays_marked() -> None:
    assert kept(is_response_truncated=True).is_response_truncated == 1


def test_what_few_executions_have_comes_back() -> None:
    told = execution(
        status=Execution.SKIPPED, skipped_count=5, reason_code=Execution.MISSED, actor="key", replay_of="x"
    )
    told.skipped_until.CopyFrom(at(timedelta(hours=1)))
    told.parent_execution_ids.extend(["a", "b"])
    told.dispatcher = "dispatcher-1"
    told.attempts.extend([Attempt(number=3, error="e" * size) for size in (100, 125, 20_000)])
    record = batch_from([ExecutionRecord(execution=told)], LIMITS).records[0]
    expected = Execution()
    expected.CopyFrom(told)
    expected.attempt_count = 5
    expected.duration.FromTimedelta(timedelta(milliseconds=20))
    assert execution_from(record) == expected
    expected.ClearField("attempts")
    assert execution_from(record._replace(attempts=b"")) == expected


def test_claims_and_definitions_of_a_batch_are_kept_with_it() -> None:
    start = execution(status=Execution.RUNNING, completed_at=None)
    request = Request(method="POST", url="https://example.com", headers={"A": "b"}, body="{{.JobID}}")
    told = [
        ExecutionRecord(execution=start),
        ExecutionRecord(execution=start, is_claim=True, claimant="a"),
        ExecutionRecord(execution=start, definition_id=b"1" * 16),
        ExecutionRecord(execution=start, definition_id=b"2" * 16, definition=Told(request=request, job=b"job")),
    ]
    batch = batch_from(told, LIMITS)
    assert (batch.claims, [each.claimant for each in batch.records]) == ({1}, ["", "a", "", ""])
    assert [each.definition_id for each in batch.records] == [b"", b"", b"1" * 16, b"2" * 16]
    definition = batch.definitions[0]
    assert (len(batch.definitions), definition.id, definition.job) == (1, b"2" * 16, b"job")
    assert definition_from(definition) == told[3].definition
    assert definition_from(NO_DEFINITION) == Told()
    detailed = Detailed(record=batch.records[3], definition=definition)
    assert detailed_execution_from(detailed).request.body == "report"
    assert detailed_execution_from(detailed).request.headers["A"] == "b"


@pytest.mark.parametrize(
    ("message", "field"),
    [
        (ExecutionRecord(is_claim=True), "claimant"),
        (ExecutionRecord(is_claim=True, claimant="a"), "execution.status"),
        (ExecutionRecord(definition_id=b"short", definition=Told()), "definition_id"),
    ],
)
def test_a_claim_or_definition_that_makes_no_sense_is_refused(message: ExecutionRecord, field: str) -> None:
    message.execution.CopyFrom(execution())
    with pytest.raises(InvalidArgument) as caught:
        batch_from([message], LIMITS)
    assert caught.value.violations[0].field == f"records[0].{field}"


def test_attempts_that_are_listed_count() -> None:
    assert kept(attempt_count=0).attempt_count == 2


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", ""),
        ("id", "not-a-uuid"),
        ("id", "0194265a"),
        ("status", None),
        ("status", 99),
        ("scheduled_time", None),
    ],
)
def test_a_record_that_cannot_be_kept_is_refused_by_its_field(field: str, value: object) -> None:
    with pytest.raises(InvalidArgument) as caught:
        kept(**{field: value})
    assert caught.value.violations[0].field == f"records[0].execution.{field}"


def test_a_batch_that_is_too_large_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="at most 5000"):
        batch_from([ExecutionRecord(execution=execution())] * 5_001, LIMITS)


def test_a_time_out_of_all_bounds_is_refused() -> None:
    message = execution()
    message.started_at.seconds = 2**62
    with pytest.raises(InvalidArgument):
        batch_from([ExecutionRecord(execution=message)], LIMITS)


def test_a_resume_token_gives_its_position_back() -> None:
    position = Position(ledger_id="ab" * 16, seq=2**40)
    assert position_from(resume_token(position)) == position
    assert position_from("") is None


@pytest.mark.parametrize(
    "token", ["?", "abc", "YWJj", "YTotMQ", "YTo5OTk5OTk5OTk5OTk5OTk5OTk5OTk", "YTpi", "ü", "a" * 5000]
)
def test_any_other_text_is_refused_as_a_resume_token(token: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        position_from(token)
    assert caught.value.violations[0].field == "resume_token"
