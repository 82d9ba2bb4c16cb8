"""Policies as files hold them: with what only the server sets when it was printed by it, and with `tests`."""

from datetime import timedelta
from typing import Any

from chronos.policy.v1.decision_service_pb2 import Endpoint, Extent, Load, Timing
from chronos.policy.v1.policy_pb2 import Policy
from chronos.scheduler.v1.job_pb2 import Job
from google.protobuf.json_format import MessageToDict, ParseDict, ParseError

from cli.chronosctl.errors import UsageError
from cli.chronosctl.values import in_json_form

Json = dict[str, Any]
COMPUTED = ("created_at", "updated_at", "updated_by", "version")
TESTS = "tests"
SECONDS = "shortest_interval_seconds"
# Facts of a test that are more than a text or a list.
FACTS: dict[str, type[Job | Timing | Endpoint | Load | Extent]] = {
    "job": Job,
    "before": Job,
    "timing": Timing,
    "endpoint": Endpoint,
    "load": Load,
    "extent": Extent,
}


def sendable(policy: Json) -> Json:
    """The policy as the API takes it: without its tests, and without what only the server sets."""
    return {name: value for name, value in policy.items() if name not in (*COMPUTED, TESTS)}


def policy_document(policy: Json) -> Json:
    """A policy of a file, to be read as policies are read. One of a wrong shape is left as it is: reading it tells."""
    document = {name: value for name, value in sendable(policy).items() if name != "etag"}
    try:
        return MessageToDict(ParseDict(document, Policy()), preserving_proto_field_name=True)
    except ParseError:
        return document


def fact(name: str, written: Any) -> Json:
    """One of FACTS as a person writes it, in the form in which rules see it: empty fields too. Raises UsageError."""
    if not isinstance(written, dict):
        raise UsageError(f"it is {written!r}, where fields are wanted")
    document = {key: value for key, value in written.items() if (name, key) != ("timing", SECONDS)}
    message = FACTS[name]()
    try:
        ParseDict(in_json_form(document, message.DESCRIPTOR), message)
    except ParseError as error:
        raise UsageError(str(error)) from error
    shown: Json = MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
    if "shortest_interval" in shown:
        span = timedelta(seconds=float(shown["shortest_interval"].removesuffix("s")))
        return shown | {SECONDS: span.total_seconds()}
    return shown | {key: value for key, value in written.items() if key not in document}
