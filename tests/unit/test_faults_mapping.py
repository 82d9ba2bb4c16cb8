"""Every fault travels as a status and comes back as the same fault."""

from datetime import timedelta

import grpc
import pytest
from chronos.policy.v1.decision_pb2 import Decision, RuleResult
from google.protobuf import json_format
from google.rpc import error_details_pb2, status_pb2
from hypothesis import given
from hypothesis import strategies as st

from libs.faults import (
    AlreadyExists,
    Fault,
    Forbidden,
    InvalidArgument,
    LimitReached,
    NotFound,
    Refused,
    Stale,
    Unauthenticated,
    Unavailable,
    Unheard,
    Violation,
    WrongState,
)
from libs.rpc import faults

ALL = [
    InvalidArgument([Violation(field="schedule", description="is not a cron expression; write five fields")]),
    Unauthenticated("send a key"),
    Forbidden("use another key", metadata={"permission": "job:read"}),
    Refused(
        "refused by policy naming/prefix",
        violations=[Violation(field="job.name", description="names begin with a team")],
        decision=Decision(violations=[RuleResult(policy_id="naming", rule_id="prefix")]).SerializeToString(),
    ),
    Refused("refused by policy naming/prefix"),
    NotFound("no such job", reason="JOB_NOT_FOUND"),
    AlreadyExists("choose another id"),
    Stale("read it again"),
    WrongState("enable it first"),
    LimitReached("wait a little", retry_after=timedelta(seconds=1.5), reason="RATE"),
    LimitReached("delete some jobs"),
    Unavailable("try again"),
]


def received(status: status_pb2.Status) -> grpc.aio.AioRpcError:
    code = next(code for code in grpc.StatusCode if code.value[0] == status.code)
    trailers = grpc.aio.Metadata(*faults.trailers_of(status))
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), trailers, status.message)


def detail(status: status_pb2.Status, kind: type) -> object:
    found = kind()
    assert any(packed.Unpack(found) for packed in status.details)
    return found


@pytest.mark.parametrize("fault", ALL, ids=lambda fault: type(fault).__name__)
def test_a_fault_comes_back_as_itself(fault: Fault) -> None:
    back = faults.fault_from(received(faults.status_of(fault, "r-1")))
    assert type(back) is type(fault)
    assert (back.message, back.reason) == (fault.message, fault.reason)
    assert back.metadata == {**fault.metadata, "request_id": "r-1"}
    if isinstance(fault, InvalidArgument) and isinstance(back, InvalidArgument):
        assert back.violations == fault.violations
    if isinstance(fault, LimitReached) and isinstance(back, LimitReached):
        assert back.retry_after == fault.retry_after


@pytest.mark.parametrize("fault", ALL, ids=lambda fault: type(fault).__name__)
def test_every_status_names_its_reason_and_domain(fault: Fault) -> None:
    info = detail(faults.status_of(fault, "r-1"), error_details_pb2.ErrorInfo)
    assert isinstance(info, error_details_pb2.ErrorInfo)
    assert (info.domain, info.reason) == ("chronos", fault.reason)


def test_a_limit_says_what_is_used_up_and_when_to_come_back() -> None:
    status = faults.status_of(LimitReached("wait", retry_after=timedelta(seconds=2)), "r-1")
    retry = detail(status, error_details_pb2.RetryInfo)
    assert isinstance(retry, error_details_pb2.RetryInfo)
    assert retry.retry_delay.seconds == 2
    quota = detail(status, error_details_pb2.QuotaFailure)
    assert isinstance(quota, error_details_pb2.QuotaFailure)
    assert quota.violations[0].description == "wait"


@given(st.lists(st.tuples(st.text(), st.text()), max_size=300), st.text())
def test_a_status_always_fits_into_trailers(fields: list[tuple[str, str]], message: str) -> None:
    violations = [Violation(field=field * 50, description=text * 50) for field, text in fields]
    status = faults.status_of(InvalidArgument(violations, message=message * 100), "r-1")
    (_, packed), *_ = faults.trailers_of(status)
    assert len(packed) * 4 / 3 + len(status.message.encode()) * 3 < 8 * 1024
    assert isinstance(faults.fault_from(received(status)), InvalidArgument)


@given(st.lists(st.tuples(st.text(), st.text()), max_size=300), st.text(), st.integers(0, 2_000))
def test_a_refusal_always_fits_into_trailers(fields: list[tuple[str, str]], message: str, size: int) -> None:
    violations = [Violation(field=field * 50, description=text * 50) for field, text in fields]
    decision = Decision(violations=[RuleResult(message="x" * size)]).SerializeToString()
    status = faults.status_of(Refused(message * 100, violations=violations, decision=decision[:2_000]), "r" * 128)
    (_, packed), *_ = faults.trailers_of(status)
    assert len(packed) * 4 / 3 + len(status.message.encode()) * 3 < 8 * 1024


def test_a_refusal_shows_the_decision_as_a_detail() -> None:
    decision = Decision(violations=[RuleResult(policy_id="naming", rule_id="prefix")])
    fault = Refused(
        "no", violations=[Violation(field="job.name", description="x")], decision=decision.SerializeToString()
    )
    status = faults.status_of(fault, "r-1")
    assert detail(status, Decision) == decision
    bad = detail(status, error_details_pb2.BadRequest)
    assert isinstance(bad, error_details_pb2.BadRequest)
    assert bad.field_violations[0].field == "job.name"
    assert json_format.MessageToDict(status)["details"][-1]["@type"].endswith("chronos.policy.v1.Decision")


def test_an_answer_without_details_still_becomes_a_fault() -> None:
    error = grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata(), "refused")
    back = faults.fault_from(error)
    assert isinstance(back, Unavailable)
    assert back.message == "refused"


def test_broken_details_do_not_hide_the_fault() -> None:
    trailers = grpc.aio.Metadata((faults.DETAILS_KEY, b"\xff\xff"))
    error = grpc.aio.AioRpcError(grpc.StatusCode.NOT_FOUND, grpc.aio.Metadata(), trailers, "gone")
    assert isinstance(faults.fault_from(error), NotFound)


def test_a_missed_deadline_is_worth_repeating() -> None:
    error = grpc.aio.AioRpcError(grpc.StatusCode.DEADLINE_EXCEEDED, grpc.aio.Metadata(), grpc.aio.Metadata(), "slow")
    back = faults.fault_from(error)
    assert isinstance(back, Unavailable)
    assert back.reason == "DEADLINE_EXCEEDED"


def test_a_call_that_the_service_called_off_is_worth_repeating() -> None:
    error = grpc.aio.AioRpcError(grpc.StatusCode.CANCELLED, grpc.aio.Metadata(), grpc.aio.Metadata(), "CANCELLED")
    assert isinstance(faults.fault_from(error), Unheard)
    assert isinstance(faults.known_fault(error), Unavailable)


def test_a_call_that_found_no_connection_was_not_heard() -> None:
    words = "failed to connect to all addresses; last error: UNKNOWN: Connection refused"
    error = grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata(), words)
    assert isinstance(faults.fault_from(error), Unheard)


@pytest.mark.parametrize("words", ["Socket closed", "Cancelling all calls", "this server is shutting down"])
def test_a_call_that_broke_off_may_have_been_heard(words: str) -> None:
    error = grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata(), words)
    fault = faults.fault_from(error)
    assert isinstance(fault, Unavailable)
    assert not isinstance(fault, Unheard)


def test_a_service_that_found_no_connection_itself_has_heard_of_the_call() -> None:
    fault = Unavailable("failed to connect to all addresses; last error: UNKNOWN: Connection refused")
    back = faults.fault_from(received(faults.status_of(fault, "request")))
    assert isinstance(back, Unavailable)
    assert not isinstance(back, Unheard)


def test_an_answer_that_stands_for_no_fault_is_internal() -> None:
    error = grpc.aio.AioRpcError(grpc.StatusCode.UNIMPLEMENTED, grpc.aio.Metadata(), grpc.aio.Metadata(), "what?")
    back = faults.fault_from(error)
    assert type(back) is Fault
    assert back.code == "INTERNAL"


def test_a_service_that_does_not_answer_makes_this_one_unavailable() -> None:
    error = grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata(), "10.0.0.1")
    fault = faults.known_fault(error)
    assert isinstance(fault, Unavailable)
    assert "10.0.0.1" not in fault.message


def test_a_group_of_faults_stands_for_its_first_and_one_with_a_bug_for_none() -> None:
    first, second = NotFound("a"), Stale("b")
    assert faults.known_fault(ExceptionGroup("g", [ExceptionGroup("h", [first]), second])) is first
    assert faults.known_fault(ExceptionGroup("g", [first, KeyError("x")])) is None


@pytest.mark.parametrize("error", [KeyError("x"), Fault("secret"), grpc.aio.UsageError("x")])
def test_anything_else_is_a_bug(error: Exception) -> None:
    assert faults.known_fault(error) is None
