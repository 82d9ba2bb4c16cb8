"""Policies, questions and decisions: protobuf to the domain, and back."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC

from chronos.policy.v1 import decision_pb2, decision_service_pb2, policy_pb2
from google.protobuf.json_format import Error, MessageToDict
from google.protobuf.struct_pb2 import NULL_VALUE, Struct, Value

from services.policy.domain.compiled import CompiledPolicy, PolicyError, Problem, compile_policy
from services.policy.domain.documents import policy_from
from services.policy.domain.judging import Decision, Judgement, Question, RuleResult
from services.policy.domain.policy import OPERATIONS, Json, Operation, Policy, Type

LARGEST_EXACT_INT = 2**53
_OPERATIONS = {
    number: Operation(name.lower())
    for name, number in policy_pb2.Policy.Operation.items()
    if number != policy_pb2.Policy.OPERATION_UNSPECIFIED
}
_TYPES = {policy_pb2.Policy.Type.Value(kind.name): kind for kind in Type} | {
    policy_pb2.Policy.TYPE_UNSPECIFIED: Type.JOB
}


def document_from(message: policy_pb2.Policy) -> dict[str, Json]:
    """A policy as REST shows it, whole numbers as ints. Raises PolicyError for numbers that JSON does not have."""
    try:
        document: dict[str, Json] = MessageToDict(message, preserving_proto_field_name=True)
    except Error as error:
        raise PolicyError([Problem("rules", f"hold a value that JSON does not have: {error}")]) from error
    return {key: _with_ints(value) for key, value in document.items()}


def compiled_from(message: policy_pb2.Policy) -> CompiledPolicy:
    """A policy, ready to judge. Raises PolicyError with every fault."""
    return compile_policy(policy_from(document_from(message)))


def scope_from(message: policy_pb2.Policy) -> Iterator[Policy]:
    """What a policy applies to, as far as this release can read it: without rules, one for each type it may have."""
    operations = {_OPERATIONS[number] for number in message.operations if number in _OPERATIONS}
    for kind in [_TYPES[message.type]] if message.type in _TYPES else Type:
        if message.operations and not operations & OPERATIONS[kind]:
            continue
        yield Policy(
            id=message.id,
            name=message.name or message.id,
            version=message.version,
            type=kind,
            priority=message.priority,
            namespaces=frozenset(message.namespaces),
            tags=dict(message.tags),
            operations=frozenset(operations & OPERATIONS[kind]),
        )


def question_from(message: decision_service_pb2.Question) -> Question:
    """An operation with its facts. What is not told is not among them."""
    facts: dict[str, Json] = {
        "caller": {"id": message.caller, "permissions": list(message.permissions)},
        "calendars": list(message.calendars),
    }
    if message.HasField("job"):
        facts["job"] = plain_struct(message.job)
    if message.HasField("before"):
        facts["before"] = plain_struct(message.before)
    if message.HasField("timing"):
        facts["timing"] = _timing(message.timing)
    if message.HasField("endpoint"):
        facts["endpoint"] = {
            "hosts": list(message.endpoint.hosts),
            "addresses": list(message.endpoint.addresses),
            "is_private": message.endpoint.is_private,
        }
    if message.HasField("load"):
        facts["load"] = {"job_runs": message.load.job_runs, "namespace_runs": message.load.namespace_runs}
    if message.HasField("extent"):
        facts["extent"] = {"jobs": message.extent.jobs, "runs": message.extent.runs}
    return Question(
        operation=_OPERATIONS[message.operation],
        namespace=message.namespace,
        facts=facts,
        time=message.time.ToDatetime(UTC),
        timezone=_timezone(message),
    )


def plain_struct(struct: Struct) -> dict[str, Json]:
    """What a Struct holds. Whole numbers are ints."""
    return {key: _plain(value) for key, value in struct.fields.items()}


def value_from(plain: Json) -> Value:
    """A plain value as protobuf has it."""
    match plain:
        case None:
            return Value(null_value=NULL_VALUE)
        case bool():
            return Value(bool_value=plain)
        case int() | float():
            return Value(number_value=plain)
        case str():
            return Value(string_value=plain)
        case list():
            value = Value()
            value.list_value.values.extend(map(value_from, plain))
            return value
        case _:
            value = Value()
            value.struct_value.SetInParent()
            for key, inner in plain.items():
                value.struct_value.fields[key].CopyFrom(value_from(inner))
            return value


def answer_from(judgement: Judgement) -> decision_service_pb2.Answer:
    """What policies say to a question."""
    return decision_service_pb2.Answer(decision=_decision(judgement.decision), is_lasting=judgement.is_lasting)


def _decision(decision: Decision) -> decision_pb2.Decision:
    return decision_pb2.Decision(
        allowed=decision.is_allowed,
        violations=_results(decision.violations),
        warnings=_results(decision.warnings),
        audited=_results(decision.audited),
        allowed_by=_result(decision.allowed_by) if decision.allowed_by is not None else None,
    )


def _results(results: Iterable[RuleResult]) -> Iterator[decision_pb2.RuleResult]:
    return map(_result, results)


def _result(result: RuleResult) -> decision_pb2.RuleResult:
    return decision_pb2.RuleResult(
        policy_id=result.policy_id,
        policy_name=result.policy_name,
        policy_version=result.policy_version,
        rule_id=result.rule_id,
        rule_name=result.rule_name,
        action=policy_pb2.Policy.Action.Value(result.action.name),
        severity=policy_pb2.Policy.Severity.Value(result.severity.name),
        message=result.message,
        field=result.field,
        actual_value=value_from(result.actual_value) if result.actual_value is not None else None,
    )


def _timing(timing: decision_service_pb2.Timing) -> dict[str, Json]:
    facts: dict[str, Json] = {"runs_per_day": timing.runs_per_day}
    if timing.HasField("shortest_interval"):
        facts["shortest_interval"] = timing.shortest_interval.ToJsonString()
        facts["shortest_interval_seconds"] = _number(timing.shortest_interval.ToTimedelta().total_seconds())
    return facts


def _timezone(message: decision_service_pb2.Question) -> str:
    about: Mapping[str, Value] = (message.job if message.HasField("job") else message.before).fields
    return about["timezone"].string_value if "timezone" in about else ""


def _plain(value: Value) -> Json:
    match value.WhichOneof("kind"):
        case "string_value":
            return value.string_value
        case "number_value":
            return _number(value.number_value)
        case "bool_value":
            return value.bool_value
        case "struct_value":
            return plain_struct(value.struct_value)
        case "list_value":
            return [_plain(item) for item in value.list_value.values]
        case _:
            return None


def _with_ints(plain: Json) -> Json:
    match plain:
        case float():
            return _number(plain)
        case list():
            return [_with_ints(item) for item in plain]
        case dict():
            return {key: _with_ints(value) for key, value in plain.items()}
        case _:
            return plain


def _number(number: float) -> int | float:
    return int(number) if number.is_integer() and abs(number) <= LARGEST_EXACT_INT else number
