# ruff: noqa: E501 - a table of one case a line
"""Violations of the contract, as a REST user reads them."""

import pytest
from chronos.history.v1 import execution_service_pb2
from chronos.scheduler.v1 import job_pb2, job_service_pb2, target_pb2
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from libs.faults import InvalidArgument
from libs.rpc.validation import check, violations_of

MINUTE = Duration(seconds=60)


def job(**fields: object) -> job_pb2.Job:
    given = {"name": "n", "schedule": "@daily", "webhook": target_pb2.WebhookTarget(url="http://x.example/")}
    return job_pb2.Job(**{**given, **fields})  # type: ignore[arg-type]


def create(**fields: object) -> job_service_pb2.CreateJobRequest:
    return job_service_pb2.CreateJobRequest(job=job(**fields))


def found(request: Message, body_field: str = "job") -> dict[str, str]:
    return {violation.field: violation.description for violation in violations_of(request, body_field)}


def test_a_well_formed_request_passes() -> None:
    check(create(id="a-1", tags={"team": "x"}, timeout=MINUTE), "job")


@pytest.mark.parametrize(
    ("request_", "field", "description"),
    [
        (create(name=""), "name", "must not be empty"),
        (create(name="x" * 201), "name", "must have at most 200 characters; it has 201"),
        (create(id="Nightly Report"), "id", "is not allowed; use lower-case letters, digits and inner hyphens, at most 63"),
        (create(webhook=None), "target", "is required; give webhook or grpc or kafka or nats or rabbitmq or websocket"),
        (create(timeout=Duration(seconds=7200)), "timeout", "must be at least 0.001s and at most 3600s; it is 2h"),
        (create(timeout=Duration(seconds=10**11)), "timeout", "must be at least 0.001s and at most 3600s; it is 27777777h46m40s"),
        (create(retry_policy=target_pb2.RetryPolicy(max_attempts=0)), "retry_policy.max_attempts", "must be at least 1 and at most 100; it is 0"),
        (create(tags={"b c": "v"}), 'tags["b c"]', "has a bad key: is not allowed; use letters, digits and . _ / -, at most 63, with a letter or a digit at both ends"),
        (create(tags={"k": "v" * 257}), 'tags["k"]', "must have at most 256 characters; it has 257"),
        (create(tags={str(n): "" for n in range(65)}), "tags", "must have at most 64 entries; it has 65"),
        (create(webhook=target_pb2.WebhookTarget()), "webhook.url", "is required; give a value"),
        (create(webhook=target_pb2.WebhookTarget(url="u", method="FETCH")), "webhook.method", "must be one of GET, POST, PUT, PATCH, DELETE, HEAD"),
        (create(webhook=target_pb2.WebhookTarget(url="u", success_codes=[200, 200])), "webhook.success_codes", "must not hold the same item twice"),
        (create(webhook=target_pb2.WebhookTarget(url="u", success_codes=[200, 9])), "webhook.success_codes[1]", "must be at least 100 and at most 599; it is 9"),
        (create(webhook=target_pb2.WebhookTarget(url="u", body="é" * 131073)), "webhook.body", "must have at most 262,144 bytes as UTF-8; it has 262,146"),
        (job_service_pb2.CreateJobRequest(), "job", "is required; give a value"),
        (job_service_pb2.CreateJobRequest(job=job(), request_id="x" * 129), "request_id", "must have at most 128 characters; it has 129"),
        (execution_service_pb2.ListExecutionsRequest(page_size=-1), "page_size", "must be at least 0; it is -1"),
        (execution_service_pb2.GetExecutionRequest(id="x"), "id", "must be a UUID, for example 123e4567-e89b-42d3-a456-426614174000"),
    ],
)  # fmt: skip
def test_a_violation_names_the_field_and_how_to_fix_it(request_: Message, field: str, description: str) -> None:
    assert found(request_) == {field: description}


def test_an_unknown_enum_value_is_answered_with_the_known_ones() -> None:
    description = found(execution_service_pb2.ListExecutionsRequest(status=[99]))["status[0]"]  # type: ignore[list-item]
    assert description.startswith("must be one of ")
    assert "SUCCESS" in description
    assert "UNSPECIFIED" not in description


def test_paths_are_relative_to_the_body_only_where_there_is_one() -> None:
    assert found(create(name=""), body_field="") == {"job.name": "must not be empty"}


def test_secrets_are_not_repeated() -> None:
    auth = target_pb2.WebhookAuth(basic=target_pb2.BasicAuth(username="hush:hush", password="p" * 2000))
    request = create(webhook=target_pb2.WebhookTarget(url="u", auth=auth))
    with pytest.raises(InvalidArgument) as caught:
        check(request, "job")
    assert "hush" not in caught.value.message
    assert "pp" not in caught.value.message


def test_all_violations_are_reported_at_once() -> None:
    assert set(found(create(name="", timezone="x" * 65, id="?"))) == {"name", "timezone", "id"}
