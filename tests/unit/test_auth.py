"""API keys, permissions and namespaces."""

from datetime import timedelta

import pytest
from chronos.auth.v1.api_key_pb2 import ApiKey
from chronos.dispatcher.v1 import delivery_service_pb2
from chronos.gateway.v1 import cluster_service_pb2
from chronos.scheduler.v1 import job_pb2, job_service_pb2
from grpc_health.v1 import health_pb2
from hypothesis import given
from hypothesis import strategies as st

from libs.faults import Fault, Forbidden, InvalidArgument, Unauthenticated, Unavailable
from libs.rpc.auth import MESH_TOKEN, Authenticator, Gate, presented_key
from libs.rpc.context import ANYBODY, MESH, Principal
from libs.rpc.credentials import KeyText, is_secret_of, new_key, parse_key, stored_key
from libs.rpc.methods import Method, read_methods
from tests.fakes.clock import FakeClock
from tests.fakes.keys import FakeKeyDirectory

CLOCK = FakeClock()
JOBS = read_methods("chronos.scheduler.v1.JobService")
GET = JOBS["/chronos.scheduler.v1.JobService/GetJob"]
CREATE = JOBS["/chronos.scheduler.v1.JobService/CreateJob"]
DELIVER = read_methods(delivery_service_pb2.DESCRIPTOR.services_by_name["DeliveryService"].full_name)[
    "/chronos.dispatcher.v1.DeliveryService/Deliver"
]
STATUS = read_methods(cluster_service_pb2.DESCRIPTOR.services_by_name["ClusterService"].full_name)[
    "/chronos.gateway.v1.ClusterService/GetClusterStatus"
]


def gate(*keys: ApiKey, is_ready: bool = True) -> Gate:
    return Gate(Authenticator(FakeKeyDirectory(*keys, is_ready=is_ready), CLOCK), "mesh-secret")


def key(
    permissions: list[str] | None = None, namespaces: list[str] | None = None
) -> tuple[dict[str, str | bytes], ApiKey]:
    text, stored = new_key("ci", permissions or ["*"], namespaces or ["*"], CLOCK)
    return {"x-api-key": text}, stored


def reason(fault: pytest.ExceptionInfo[Fault]) -> str:
    return fault.value.reason


def test_a_new_key_has_the_documented_form_and_only_its_hash_is_stored() -> None:
    text, stored = new_key("ci", ["job:read"], ["default"], CLOCK)
    parts = parse_key(text)
    assert parts is not None
    assert (len(parts.id), len(parts.secret), parts.id) == (12, 43, stored.id)
    assert parts.secret.encode() not in stored.SerializeToString()
    assert is_secret_of(stored, parts.secret)
    assert parts.secret not in repr(parts)


@given(st.binary(min_size=32, max_size=32))
def test_every_key_can_be_parsed_back(noise: bytes) -> None:
    text, stored = new_key("ci", [], [], CLOCK, random_bytes=lambda count: noise[:count])
    assert parse_key(text) == KeyText(id=stored.id, secret=text[21:])


def test_a_key_given_by_the_operator_is_stored_like_a_new_one() -> None:
    text, stored = new_key("admin", ["*"], ["*"], CLOCK)
    assert stored_key(text, "admin", ["*"], ["*"], CLOCK) == stored
    with pytest.raises(ValueError, match="must look like"):
        stored_key("letmein", "admin", ["*"], ["*"], CLOCK)


@given(st.text())
def test_no_text_breaks_the_key_parser(text: str) -> None:
    assert parse_key(text) is None


@pytest.mark.parametrize(
    "metadata",
    [
        {"x-api-key": "K"},
        {"x-api-key": " K "},
        {"authorization": "Bearer K"},
        {"authorization": "bearer  K"},
        {"authorization": "ApiKey K"},
        {"authorization": "K"},
        {"x-api-key": "K", "authorization": "Bearer other"},
    ],
)
def test_a_key_is_found_wherever_it_may_be(metadata: dict[str, str | bytes]) -> None:
    assert presented_key(metadata) == "K"


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({}, "API_KEY_MISSING"),
        ({"x-api-key": ""}, "API_KEY_MISSING"),
        ({"authorization": "Bearer"}, "API_KEY_MISSING"),
        ({"authorization": "Basic dTpw"}, "API_KEY_MALFORMED"),
        ({"x-api-key": b"\xff\xfe"}, "API_KEY_MISSING"),
        ({"x-api-key": "chronos_ABC_x"}, "API_KEY_MALFORMED"),
        ({"x-api-key": f"chronos_{'a' * 12}_{'b' * 43}"}, "API_KEY_INVALID"),
    ],
)
def test_without_a_valid_key_the_caller_is_unknown(metadata: dict[str, str | bytes], expected: str) -> None:
    with pytest.raises(Unauthenticated) as caught:
        gate(key()[1]).identify(GET, metadata)
    assert reason(caught) == expected


def test_a_key_with_a_wrong_secret_is_not_told_from_an_unknown_key() -> None:
    (metadata, stored), (other, _) = key(), key()
    wrong: dict[str, str | bytes] = {"x-api-key": f"chronos_{stored.id}_{str(other['x-api-key'])[21:]}"}
    with pytest.raises(Unauthenticated) as known:
        gate(stored).identify(GET, wrong)
    with pytest.raises(Unauthenticated) as unknown:
        gate().identify(GET, metadata)
    assert known.value.message == unknown.value.message


def test_the_fault_of_a_missing_key_says_where_to_put_it() -> None:
    with pytest.raises(Unauthenticated, match="X-API-Key header or as Authorization: Bearer"):
        gate().identify(GET, {})


def test_an_expired_key_is_refused() -> None:
    metadata, stored = key()
    stored.expires_at.FromDatetime(CLOCK.now() + timedelta(seconds=1))
    assert gate(stored).identify(GET, metadata).id == stored.id
    stored.expires_at.FromDatetime(CLOCK.now())
    with pytest.raises(Unauthenticated) as caught:
        gate(stored).identify(GET, metadata)
    assert reason(caught) == "API_KEY_EXPIRED"


def test_until_the_keys_have_been_read_the_answer_is_to_try_again() -> None:
    metadata, stored = key()
    with pytest.raises(Unavailable):
        gate(is_ready=False).identify(GET, metadata)
    assert gate(stored, is_ready=False).identify(GET, metadata).id == stored.id


@pytest.mark.parametrize("permissions", [["*"], ["job:*"], ["execution:read", "job:read"]])
def test_a_permission_can_be_granted_in_three_ways(permissions: list[str]) -> None:
    metadata, stored = key(permissions)
    assert gate(stored).identify(GET, metadata).permissions == tuple(permissions)


@pytest.mark.parametrize("permissions", [["job:create"], ["execution:*"], ["job"], ["job:rea"], ["*:read"]])
def test_a_key_without_the_permission_is_forbidden(permissions: list[str]) -> None:
    metadata, stored = key(permissions)
    with pytest.raises(Forbidden, match="lacks the permission job:read") as caught:
        gate(stored).identify(GET, metadata)
    assert caught.value.metadata == {"permission": "job:read"}


def principal(*namespaces: str) -> Principal:
    return Principal(id="k", name="ci", permissions=("*",), namespaces=namespaces)


def create(namespace: str = "", inner: str = "") -> job_service_pb2.CreateJobRequest:
    return job_service_pb2.CreateJobRequest(namespace=namespace, job=job_pb2.Job(namespace=inner))


@pytest.mark.parametrize(
    ("request_", "namespace"),
    [(create(), "default"), (create("a"), "a"), (create("", "b"), "b"), (create("c", "c"), "c")],
)
def test_the_namespace_is_that_of_the_request_else_that_of_its_resource(
    request_: job_service_pb2.CreateJobRequest, namespace: str
) -> None:
    assert gate().namespace(CREATE, principal("*"), request_) == namespace
    assert gate().namespace(CREATE, principal(namespace), request_) == namespace
    with pytest.raises(Forbidden) as caught:
        gate().namespace(CREATE, principal("elsewhere"), request_)
    assert reason(caught) == "NAMESPACE_FORBIDDEN"


def test_a_request_that_names_two_namespaces_is_refused() -> None:
    with pytest.raises(InvalidArgument) as caught:
        gate().namespace(CREATE, principal("a", "b"), create("a", "b"))
    assert caught.value.violations[0].field == "namespace"


def test_a_request_without_namespace_needs_only_the_permission() -> None:
    request = cluster_service_pb2.GetClusterStatusRequest()
    assert gate().namespace(STATUS, principal("team-a"), request) == ""


def test_internal_methods_need_the_mesh_token_and_no_key_opens_them() -> None:
    metadata, stored = key()
    assert gate(stored).identify(DELIVER, {MESH_TOKEN: "mesh-secret"}) is MESH
    attempts: tuple[dict[str, str | bytes], ...] = (
        {},
        metadata,
        {MESH_TOKEN: "guess"},
        {MESH_TOKEN: ""},
        {MESH_TOKEN: b"mesh-secret"},
        {MESH_TOKEN: "é"},
    )
    for wrong in attempts:
        with pytest.raises(Forbidden):
            gate(stored).identify(DELIVER, wrong)


def test_the_mesh_token_does_not_open_public_methods() -> None:
    with pytest.raises(Unauthenticated):
        gate().identify(GET, {MESH_TOKEN: "mesh-secret"})


def test_an_empty_mesh_token_is_a_start_up_error_and_lets_nobody_in() -> None:
    careless = Gate(None, "")
    with pytest.raises(ValueError, match="CHRONOS_MESH_TOKEN"):
        careless.check_method(DELIVER)
    with pytest.raises(Forbidden):
        careless.identify(DELIVER, {MESH_TOKEN: ""})


def test_a_method_that_needs_keys_needs_an_authenticator() -> None:
    with pytest.raises(ValueError, match="authenticator"):
        Gate(None, "x").check_method(GET)


def test_anybody_may_call_a_public_method() -> None:
    public = Method(
        path="/a.B/C",
        service="a.B",
        name="C",
        permission="",
        is_public=True,
        is_internal=False,
        has_request_stream=False,
        has_response_stream=False,
        body_field="",
        namespace_of=lambda _: "",
    )
    assert gate().identify(public, {}) is ANYBODY


def test_a_service_whose_methods_do_not_say_who_may_call_is_refused() -> None:
    with pytest.raises(ValueError, match="exactly one of"):
        read_methods(health_pb2.DESCRIPTOR.services_by_name["Health"].full_name)
