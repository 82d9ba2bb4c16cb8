"""The secrets of a job: which fields they are, how answers hide them, and how they come back."""

from chronos.scheduler.v1 import job_pb2, target_pb2

from services.scheduler.domain.redaction import masked

SECRETS = {"basic": "password", "bearer": "token", "api_key": "key"}
SECRET_PATHS = frozenset(f"webhook.auth.{kind}.{name}" for kind, name in SECRETS.items())


def masked_job(job: job_pb2.Job) -> job_pb2.Job:
    """A copy of a job without its secrets."""
    copy = job_pb2.Job()
    copy.CopyFrom(job)
    if copy.HasField("webhook"):
        _mask(copy.webhook.auth)
    return copy


def has_secret(auth: target_pb2.WebhookAuth) -> bool:
    """Whether credentials hold something that a mask would hide."""
    kind = auth.WhichOneof("kind")
    return kind is not None and bool(getattr(getattr(auth, kind), SECRETS[kind]))


def _mask(auth: target_pb2.WebhookAuth) -> None:
    kind = auth.WhichOneof("kind")
    if kind is not None:
        credentials = getattr(auth, kind)
        setattr(credentials, SECRETS[kind], masked(getattr(credentials, SECRETS[kind])))
