"""A job, as it is delivered and as history keeps it."""

from dataclasses import replace
from datetime import timedelta

from chronos.dispatcher.v1 import delivery_service_pb2 as delivery_pb2
from chronos.history.v1 import execution_pb2, ledger_service_pb2
from chronos.scheduler.v1 import job_pb2, target_pb2

from services.dispatcher.domain.backoff import RetryPolicy
from services.dispatcher.domain.plan import DEFAULT_PRIORITY, DEFAULT_TIMEOUT, Plan
from services.dispatcher.domain.request import (
    BasicCredentials,
    BearerCredentials,
    Credentials,
    KeyCredentials,
    RequestPlan,
    Webhook,
    compile_request,
)
from services.dispatcher.protobuf_times import read_span

SHORTEST = timedelta(milliseconds=1)
MASK = "********"


def read_plan(message: delivery_pb2.Delivery, *, user_agent: str, dispatcher: str) -> Plan:
    """How to deliver the definition of a job that comes with a delivery. `dispatcher` names this replica."""
    job = message.job
    is_webhook = job.WhichOneof("target") == "webhook"
    webhook = job.webhook
    request = compile_request(_webhook(webhook), timeout=_timeout(job), user_agent=user_agent) if is_webhook else None
    return Plan(
        namespace=job.namespace,
        job_id=job.id,
        job_uid=job.uid,
        job_name=job.name,
        request=request,
        definition_id=message.definition_id,
        facts=_facts(message, dispatcher),
        definition=_definition(job, request) if message.definition_id else b"",
        priority=job.priority or DEFAULT_PRIORITY,
        is_at_most_once=job.delivery_guarantee == job_pb2.Job.AT_MOST_ONCE,
        success_codes=frozenset(webhook.success_codes),
        retry_policy=_retry_policy(job.retry_policy),
        error="" if is_webhook else "the job has no target that this dispatcher can deliver to",
    )


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


def _definition(job: job_pb2.Job, request: RequestPlan | None) -> bytes:
    definition = ledger_service_pb2.Definition(job=_masked(job).SerializeToString())
    if request is not None:
        headers = {name: MASK if name in request.secret_headers else value for name, value in request.headers.items()}
        definition.request.CopyFrom(
            execution_pb2.Request(method=request.method, url=request.url, headers=headers, body=job.webhook.body)
        )
    return ledger_service_pb2.ExecutionRecord(definition=definition).SerializeToString()


def _masked(job: job_pb2.Job) -> job_pb2.Job:
    copy = job_pb2.Job()
    copy.CopyFrom(job)
    auth = copy.webhook.auth
    match auth.WhichOneof("kind") if copy.HasField("webhook") else None:
        case "basic":
            auth.basic.password = MASK if auth.basic.password else ""
        case "bearer":
            auth.bearer.token = MASK
        case "api_key":
            auth.api_key.key = MASK
    return copy


def _webhook(message: target_pb2.WebhookTarget) -> Webhook:
    return Webhook(
        url=message.url,
        method=message.method,
        headers=dict(message.headers),
        body=message.body,
        credentials=_credentials(message.auth),
    )


def _credentials(message: target_pb2.WebhookAuth) -> Credentials | None:
    match message.WhichOneof("kind"):
        case "basic":
            return BasicCredentials(username=message.basic.username, password=message.basic.password)
        case "bearer":
            return BearerCredentials(token=message.bearer.token)
        case "api_key":
            return KeyCredentials(header=message.api_key.header, key=message.api_key.key)
        case _:
            return None


def _timeout(job: job_pb2.Job) -> timedelta:
    if job.webhook.HasField("timeout"):
        return max(read_span(job.webhook.timeout), SHORTEST)
    return max(read_span(job.timeout), SHORTEST) if job.HasField("timeout") else DEFAULT_TIMEOUT


def _retry_policy(message: target_pb2.RetryPolicy) -> RetryPolicy:
    policy = RetryPolicy()
    if message.HasField("max_attempts"):
        policy = replace(policy, max_attempts=message.max_attempts)
    if message.HasField("initial_interval"):
        policy = replace(policy, initial_interval=max(read_span(message.initial_interval), SHORTEST))
    if message.HasField("max_interval"):
        policy = replace(policy, max_interval=max(read_span(message.max_interval), SHORTEST))
    if message.HasField("multiplier"):
        policy = replace(policy, multiplier=message.multiplier)
    return policy
