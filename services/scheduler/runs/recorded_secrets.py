"""The secrets that a recorded request was recorded without."""

from collections.abc import Mapping, Sequence
from typing import Any

from chronos.scheduler.v1 import job_pb2

from libs.redaction import MASK
from libs.secret_fields import has_secrets, mask, unmask
from services.scheduler.runs.recorded_requests import target_of
from services.scheduler.runs.request_changes import origin

# Where a target is, who calls there, and how the way there is secured: secrets go nowhere else.
PLACES: Mapping[str, tuple[str, ...]] = {
    "webhook": ("auth", "tls"),
    "grpc": ("address", "tls"),
    "kafka": ("brokers", "sasl", "tls"),
    "nats": ("url", "auth", "tls"),
    "rabbitmq": ("url", "username", "password", "tls"),
    "websocket": ("client_name",),
}


def restore_secrets(recorded: job_pb2.Job, sources: Sequence[job_pb2.Job]) -> str:
    """Puts secrets in the places of their masks, from the first job that has them all for the very same place.

    Those that sign are taken from the last job, as receivers know them, if it signs. Answers what is missing, in words;
    empty when nothing is.
    """
    missing = [_restore_target(recorded, sources), _restore_signing(recorded, sources)]
    return " and ".join(filter(None, missing))


def _restore_target(recorded: job_pb2.Job, sources: Sequence[job_pb2.Job]) -> str:
    hidden = [name for name, value in recorded.webhook.headers.items() if value == MASK]
    target = target_of(recorded)
    if not hidden and not has_secrets(target):
        return ""
    kind, place = recorded.WhichOneof("target") or "", _place(recorded)
    for source in sources:
        # A header that was changed makes the other credentials superfluous, so that only those left must be alike.
        if source.WhichOneof("target") != kind or (_place(source) != place and has_secrets(target)):
            continue
        if hidden and not _has_headers(source, recorded, hidden):
            continue
        complete = type(target)()
        complete.CopyFrom(target)
        if unmask(complete, target_of(source)):
            continue
        for name in hidden:
            complete.headers[name] = _lowered(source)[name.lower()]
        target.CopyFrom(complete)
        return ""
    return _in_words(recorded, hidden)


def _restore_signing(recorded: job_pb2.Job, sources: Sequence[job_pb2.Job]) -> str:
    wanted = recorded.signing
    if not has_secrets(wanted):
        return ""
    for source in reversed(sources):
        known = source.signing
        if bool(known.secrets) >= bool(wanted.secrets) and bool(known.qhronos_secret) >= bool(wanted.qhronos_secret):
            wanted.CopyFrom(known)
            return ""
    return "the secrets that sign it"


def _place(job: job_pb2.Job) -> tuple[Any, ...]:
    kind = job.WhichOneof("target") or ""
    target = target_of(job)
    place = type(target)()
    for field, value in target.ListFields():
        if field.name in PLACES[kind]:
            if field.is_repeated:
                getattr(place, field.name).extend(value)
            elif field.message_type is not None:
                getattr(place, field.name).CopyFrom(value)
            else:
                setattr(place, field.name, value)
    mask(place)
    return kind, origin(target.url) if kind == "webhook" else None, place.SerializeToString(deterministic=True)


def _has_headers(source: job_pb2.Job, recorded: job_pb2.Job, names: Sequence[str]) -> bool:
    is_same = origin(source.webhook.url) == origin(recorded.webhook.url)
    return is_same and all(name.lower() in _lowered(source) for name in names)


def _lowered(job: job_pb2.Job) -> dict[str, str]:
    return {name.lower(): value for name, value in job.webhook.headers.items()}


def _in_words(recorded: job_pb2.Job, hidden: Sequence[str]) -> str:
    if not recorded.HasField("webhook"):
        return f"the credentials of its {recorded.WhichOneof('target')} target"
    kind = recorded.webhook.auth.WhichOneof("kind") if has_secrets(recorded.webhook.auth) else None
    return " and ".join(
        ([f"its {kind} credentials"] if kind else []) + [f"the value of its header {name}" for name in sorted(hidden)]
    )
