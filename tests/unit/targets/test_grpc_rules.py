"""What a job may say of a gRPC method."""

from typing import Any

import pytest
from chronos.scheduler.v1 import job_pb2
from chronos.scheduler.v1.grpc_target_pb2 import GrpcTarget
from chronos.scheduler.v1.target_tls_pb2 import TargetTls
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from services.scheduler.jobs.targets import grpc as rules
from services.scheduler.jobs.targets.registry import fill_target, target_violations
from tests.servers.orders import FILES, PLACE, WATCH, descriptor_set


def found(**target: Any) -> dict[str, str]:
    job = job_pb2.Job(grpc=GrpcTarget(**{"address": "billing.example:443", "method": PLACE, **target}))
    fill_target(job)
    return {violation.field: violation.description for violation in target_violations(job)}


def test_what_is_left_out_is_written_out() -> None:
    target = GrpcTarget()
    rules.fill(target)
    assert list(target.retryable_codes) == ["UNAVAILABLE", "RESOURCE_EXHAUSTED", "ABORTED", "DEADLINE_EXCEEDED"]


def test_codes_may_be_written_in_any_case() -> None:
    target = GrpcTarget(retryable_codes=["not_found"])
    rules.fill(target)
    assert list(target.retryable_codes) == ["NOT_FOUND"]


@pytest.mark.parametrize(
    "target",
    [
        {},
        {"address": "[2001:db8::1]:50051"},
        {"address": "10.0.0.1:50051"},
        {"payload": '{"customer": "{{.JobName}}", "amount_cents": {{.Attempt}}}'},
        {"payload": '{"customer": "ann", "items": [{"sku": "a"}]}', "descriptor_set": descriptor_set()},
        {"payload": '{"anything": "{{.JobID}}"}', "descriptor_set": descriptor_set()},
        {"raw_payload": b"\x00\xff"},
        {"metadata": {"X-Team": "billing", "authorization": "Bearer t", "trace-bin": "AAH/"}},
        {"tls": TargetTls(enabled=True, insecure_skip_verify=True)},
        {"retryable_codes": ["unknown", "INTERNAL"]},
    ],
)
def test_what_is_right_is_accepted(target: dict[str, Any]) -> None:
    assert found(**target) == {}


@pytest.mark.parametrize(
    ("target", "field", "words"),
    [
        ({"address": "billing.example"}, "address", "must be host:port with a port"),
        ({"address": "billing.example:0"}, "address", "must be host:port with a port"),
        ({"address": "billing.example:70000"}, "address", "must be host:port with a port"),
        ({"address": "https://billing.example:443"}, "address", "without a scheme"),
        ({"address": "2001:db8::1:443"}, "address", "in brackets"),
        ({"address": "[nowhere]:443"}, "address", "no IPv6 address"),
        ({"address": "a b:443"}, "address", "has a host that is none"),
        ({"payload": "{"}, "payload", "is not JSON"),
        ({"payload": "[" * 100_000}, "payload", "is not JSON"),
        ({"payload": '{"at": {{.ScheduledTime}}}'}, "payload", "is not JSON"),
        ({"payload": '{"at": "{{.When}}"}'}, "payload", "unknown variable"),
        ({"payload": "{}", "raw_payload": b"x"}, "payload", "has no meaning with raw_payload"),
        ({"descriptor_set": descriptor_set(), "raw_payload": b"x"}, "descriptor_set", "has no meaning"),
        ({"descriptor_set": b"junk"}, "descriptor_set", "is no FileDescriptorSet"),
        ({"descriptor_set": descriptor_set(), "method": "/a.B/C"}, "descriptor_set", "has no service a.B"),
        ({"descriptor_set": descriptor_set(), "method": f"{PLACE}s"}, "descriptor_set", "has no method Places in"),
        ({"descriptor_set": descriptor_set(), "method": WATCH}, "descriptor_set", "only unary methods can be called"),
        (
            {"descriptor_set": FileDescriptorSet(file=FILES[:1]).SerializeToString()},
            "descriptor_set",
            "lacks shop/v1/item.proto, which is imported; give all imports",
        ),
        (
            {"descriptor_set": descriptor_set(), "payload": '{"items": [{"sko": 1}]}'},
            "payload",
            'does not fit its type: Failed to parse items field: Message type "shop.v1.Item" has no field named "sko" '
            'at "Order.items[0]"',
        ),
        ({"metadata": {"x y": ""}}, "metadata['x y']", "is no header name"),
        ({"metadata": {"x!": ""}}, "metadata['x!']", "is no name of metadata"),
        ({"metadata": {"X-Chronos-Job-ID": ""}}, "metadata['X-Chronos-Job-ID']", "is set by Chronos itself"),
        ({"metadata": {"grpc-timeout": "1S"}}, "metadata['grpc-timeout']", "is set by gRPC itself"),
        ({"metadata": {"x-bin": "*"}}, "metadata['x-bin']", "must be Base64"),
        ({"metadata": {"x": "ü"}}, "metadata['x']", "non-ASCII"),
        ({"metadata": {"a": "", "A": ""}}, "metadata['a']", "is the same as 'A'"),
        ({"tls": TargetTls(ca_cert="x")}, "tls.enabled", "must be true"),
        ({"retryable_codes": ["OK"]}, "retryable_codes[0]", "is no error code of gRPC"),
        ({"retryable_codes": ["ABORTED", "SOMETIMES"]}, "retryable_codes[1]", "is no error code of gRPC"),
    ],
)
def test_what_is_wrong_is_refused_with_the_way_to_mend_it(target: dict[str, Any], field: str, words: str) -> None:
    problems = found(**target)
    assert words in problems[f"grpc.{field}"]
