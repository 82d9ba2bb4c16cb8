"""gRPC methods."""

import base64
import json
import re
from collections.abc import Iterator

from chronos.scheduler.v1 import grpc_target_pb2

from libs.faults import Violation
from libs.host_ports import split_host_port
from libs.method_types import types_in_set
from libs.templates import parse_template
from services.scheduler.domain import rules
from services.scheduler.jobs.targets import tls

DEFAULT_RETRYABLE_CODES = ("UNAVAILABLE", "RESOURCE_EXHAUSTED", "ABORTED", "DEADLINE_EXCEEDED")
ERROR_CODES = frozenset({
    "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE",
    "DATA_LOSS", "UNAUTHENTICATED",
})  # fmt: skip
NAME = re.compile(r"[0-9A-Za-z_.-]+")
RESERVED_NAMES = frozenset({"te", "user-agent", "content-type"})
RESERVED_PREFIX = "grpc-"
BINARY_SUFFIX = "-bin"
# For variables, to see whether what is made of a payload is JSON.
SAMPLES = {
    "JobID": "job", "JobName": "name", "Namespace": "default", "Attempt": "1",
    "ExecutionID": "123e4567-e89b-42d3-a456-426614174000", "ScheduledTime": "2026-01-01T00:00:00Z",
}  # fmt: skip


def fill(target: grpc_target_pb2.GrpcTarget) -> None:
    """Says what fields that were left out mean."""
    target.retryable_codes[:] = [code.upper() for code in target.retryable_codes] or DEFAULT_RETRYABLE_CODES


def violations(target: grpc_target_pb2.GrpcTarget) -> Iterator[Violation]:
    """What is wrong, beyond its shape."""
    try:
        split_host_port(target.address)
    except ValueError as error:
        yield Violation(field="grpc.address", description=str(error))
    yield from _payload_violations(target)
    yield from _metadata_violations(target)
    yield from tls.violations("grpc.tls", target.tls)
    for place, code in enumerate(target.retryable_codes):
        if code not in ERROR_CODES:
            description = f"is no error code of gRPC; there are {', '.join(sorted(ERROR_CODES))}"
            yield Violation(field=f"grpc.retryable_codes[{place}]", description=description)


def _payload_violations(target: grpc_target_pb2.GrpcTarget) -> Iterator[Violation]:
    if target.raw_payload:
        for name in ("payload", "descriptor_set"):
            if getattr(target, name):
                yield Violation(field=f"grpc.{name}", description="has no meaning with raw_payload; give one of them")
        return
    wrong = list(rules.template_violations("grpc.payload", [target.payload]))
    yield from wrong
    if wrong:
        return
    template = parse_template(target.payload)
    try:
        json.loads(template.render(SAMPLES) or "{}")
    except (ValueError, RecursionError) as error:
        description = f"is not JSON: {error}; quote variables that are strings"
        yield Violation(field="grpc.payload", description=description)
        return
    if target.descriptor_set:
        yield from _type_violations(target, "" if template.names else template.literals[0])


def _type_violations(target: grpc_target_pb2.GrpcTarget, payload: str) -> Iterator[Violation]:
    try:
        types = types_in_set(target.descriptor_set, target.method)
    except ValueError as error:
        yield Violation(field="grpc.descriptor_set", description=str(error))
        return
    try:
        types.encode(payload.encode())
    except ValueError as error:
        description = f"does not fit its type: {str(error).partition(': ')[2]}"
        yield Violation(field="grpc.payload", description=description)


def _metadata_violations(target: grpc_target_pb2.GrpcTarget) -> Iterator[Violation]:
    yield from rules.header_violations("grpc.metadata", dict(target.metadata))
    seen: dict[str, str] = {}
    for name, value in sorted(target.metadata.items()):
        description = _metadata_problem(name.lower(), value)
        if not description and name.lower() in seen:
            description = f"is the same as {seen[name.lower()]!r}, since case does not matter; leave one out"
        seen[name.lower()] = name
        if description:
            yield Violation(field=f"grpc.metadata[{name!r}]", description=description)


def _metadata_problem(name: str, value: str) -> str:
    if name in RESERVED_NAMES or name.startswith(RESERVED_PREFIX):
        return "is set by gRPC itself; leave it out"
    if rules.HEADER_NAME.fullmatch(name) and NAME.fullmatch(name) is None:
        return "is no name of metadata; use letters, digits, hyphens, dots and underscores"
    if name.endswith(BINARY_SUFFIX):
        try:
            base64.b64decode(value, validate=True)
        except ValueError:
            return f"must be Base64, since its name ends in {BINARY_SUFFIX}"
    return ""
