"""A job, as it is delivered and as history keeps it."""

from collections.abc import Sequence
from dataclasses import replace

from chronos.dispatcher.v1 import delivery_service_pb2 as delivery_pb2
from chronos.history.v1 import execution_pb2, ledger_service_pb2
from chronos.scheduler.v1 import job_pb2, target_pb2

from libs.secret_fields import mask
from services.dispatcher.convert_completion import read_completion
from services.dispatcher.convert_contracts import read_contract
from services.dispatcher.convert_limits import read_limits
from services.dispatcher.convert_secrets import read_with_secrets
from services.dispatcher.convert_targets.spans import span_or
from services.dispatcher.convert_targets.targets import read_target
from services.dispatcher.domain.backoff import RetryPolicy
from services.dispatcher.domain.plan import DEFAULT_PRIORITY, Plan
from services.dispatcher.domain.targets.plan import TargetPlan


def read_plan(
    message: delivery_pb2.Delivery, *, user_agent: str, dispatcher: str, usual_secrets: Sequence[str] = ()
) -> Plan:
    """How to deliver the definition of a job that comes with a delivery. `dispatcher` names this replica."""
    job = message.job
    target, error = _target(job, user_agent, usual_secrets)
    return Plan(
        namespace=job.namespace,
        job_id=job.id,
        job_uid=job.uid,
        job_name=job.name,
        target=target,
        definition_id=message.definition_id,
        facts=_facts(message, dispatcher),
        definition=_definition(job, target) if message.definition_id else b"",
        priority=job.priority or DEFAULT_PRIORITY,
        is_at_most_once=job.delivery_guarantee == job_pb2.Job.AT_MOST_ONCE,
        limits=read_limits(job),
        completion=read_completion(job),
        retry_policy=_retry_policy(job.retry_policy),
        error=error,
    )


def _target(job: job_pb2.Job, user_agent: str, usual_secrets: Sequence[str]) -> tuple[TargetPlan | None, str]:
    def compile_target(complete: job_pb2.Job) -> TargetPlan | None:
        contract = read_contract(complete, usual_secrets=usual_secrets)
        return read_target(complete, contract=contract, user_agent=user_agent)

    try:
        target = read_with_secrets(job, compile_target)
    except ValueError as error:
        return None, f"the job cannot be delivered: {error}"
    return target, "" if target is not None else "the job has no target that this dispatcher can deliver to"


def _facts(message: delivery_pb2.Delivery, dispatcher: str) -> bytes:
    job = message.job
    return ledger_service_pb2.ExecutionRecord(
        definition_id=message.definition_id,
        execution=execution_pb2.Execution(
            namespace=job.namespace,
            job_id=job.id,
            job_uid=job.uid,
            job_name=job.name,
            job_version=job.version,
            dispatcher=dispatcher,
        ),
    ).SerializeToString()


def _definition(job: job_pb2.Job, target: TargetPlan | None) -> bytes:
    masked = job_pb2.Job()
    masked.CopyFrom(job)
    mask(masked)
    definition = ledger_service_pb2.Definition(job=masked.SerializeToString())
    if target is not None:
        shown = target.shown
        definition.request.CopyFrom(
            execution_pb2.Request(method=shown.method, url=shown.url, headers=shown.headers, body=shown.body)
        )
    return ledger_service_pb2.ExecutionRecord(definition=definition).SerializeToString()


def _retry_policy(message: target_pb2.RetryPolicy) -> RetryPolicy:
    policy = RetryPolicy()
    if message.HasField("max_attempts"):
        policy = replace(policy, max_attempts=message.max_attempts)
    if message.HasField("multiplier"):
        policy = replace(policy, multiplier=message.multiplier)
    return replace(
        policy,
        initial_interval=span_or(message.initial_interval, policy.initial_interval),
        max_interval=span_or(message.max_interval, policy.max_interval),
    )
