"""Targets that refer to secrets."""

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from urllib.parse import quote

from chronos.scheduler.v1 import job_pb2
from google.protobuf.message import Message

from libs.sealed_fields import sealed_paths
from libs.secret_fields import change_secrets
from libs.secret_references import Reference, has_references, references_in, replace_references
from libs.target_texts import ADDRESSES, TEMPLATES, URL, after_authority, change_texts, refers_to_secrets
from services.dispatcher.domain.deferred import Bound, DeferredTarget
from services.dispatcher.domain.targets.plan import TargetPlan

CONTENTS = ("body", "payload")
Compile = Callable[[job_pb2.Job], TargetPlan | None]
Values = Mapping[Reference, str]


def read_with_secrets(job: job_pb2.Job, compile_target: Compile) -> TargetPlan | None:
    """The target of a job; one that gets its secrets at the time of an attempt where the job refers to any.

    Raises ValueError for references that mean nothing, and for stored secrets that the scheduler could not decrypt.
    """
    if unreadable := sealed_paths(job):
        raise ValueError(
            f"{', '.join(unreadable)} was stored encrypted and cannot be decrypted; give the secret anew, or give the "
            "schedulers the key that it was encrypted with (encryption_keys)"
        )
    references = _references(job)
    if not references:
        return compile_target(job)
    outline = _outline(job, compile_target)
    if outline is None:
        return None
    # A copy: the message that it came in is not kept in memory for it.
    kept = job_pb2.Job()
    kept.CopyFrom(job)
    bind = partial(_bind, kept, compile_target)
    return DeferredTarget(namespace=job.namespace, outline=outline, references=references, bind=bind)


def _references(job: job_pb2.Job) -> Sequence[Reference]:
    found: dict[Reference, None] = {}

    def look(path: str, field: str, text: str) -> str:
        del path
        if has_references(text):
            found.update(dict.fromkeys(references_in(_referring(field, text))))
        return text

    for root in _roots(job):
        change_texts(root, look)
    return tuple(found)


def _roots(job: job_pb2.Job) -> list[Message]:
    kind = job.WhichOneof("target")
    roots: list[Message] = [getattr(job, kind)] if kind is not None else []
    roots += [job.signing] if job.HasField("signing") else []
    return [root for root in roots if refers_to_secrets(root)]


def _referring(field: str, text: str) -> str:
    """The part of a text in which references count: what says where a delivery goes is taken as it is written."""
    if field in ADDRESSES:
        return ""
    return text[after_authority(text) :] if field == URL else text


def _outline(job: job_pb2.Job, compile_target: Compile) -> TargetPlan | None:
    """The target as far as it is known, which is never sent: without its credentials where they must be parsed."""
    outline = job_pb2.Job()
    outline.CopyFrom(job)
    outline.ClearField("signing")
    try:
        return compile_target(outline)
    except ValueError:
        for root in _roots(outline):
            for name in _referring_credentials(root):
                root.ClearField(name)
        return compile_target(outline)


def _referring_credentials(root: Message) -> set[str]:
    """The fields of a target in which secret fields refer to secrets."""
    found: set[str] = set()

    def look(path: str, secret: str) -> str:
        if has_references(secret):
            found.add(path.partition(".")[0].partition("[")[0])
        return secret

    change_secrets(root, look)
    return found


def _bind(job: job_pb2.Job, compile_target: Compile, values: Values) -> Bound:
    filled = job_pb2.Job()
    filled.CopyFrom(job)
    for root in _roots(filled):
        is_json = _is_json(root)

        def fill(path: str, field: str, text: str, is_json: bool = is_json) -> str:
            del path
            start = len(text) - len(_referring(field, text))
            return text[:start] + replace_references(text[start:], lambda found: _fit(values[found], field, is_json))

        change_texts(root, fill)
    plan = compile_target(filled)
    assert plan is not None
    return Bound(plan=plan, hidden=_hidden(filled, values))


def _fit(value: str, field: str, is_json: bool) -> str:
    """A secret as it must be written where it stands, so that it means itself there and nothing else."""
    if field == URL:
        return quote(value, safe="")
    if is_json and field.rpartition(".")[2] in CONTENTS:
        value = json.dumps(value)[1:-1]
    return value.replace("{{", '{{"{{"}}') if field in TEMPLATES else value


def _is_json(target: Message) -> bool:
    """Whether what is sent is JSON: as its type says, else as it looks."""
    headers: Mapping[str, str] = getattr(target, "headers", {})
    types = [value for name, value in headers.items() if name.lower() == "content-type"]
    given = getattr(target, "content_type", "") or (types[-1] if types else "")
    if given:
        essence = given.partition(";")[0].strip().lower()
        return essence == "application/json" or essence.endswith("+json")
    text = getattr(target, "body", "") or getattr(target, "payload", "")
    return text.lstrip().startswith(("{", "[", '"'))


def _hidden(filled: job_pb2.Job, values: Values) -> Sequence[str]:
    """All forms in which the secrets were sent."""
    hidden = {form for value in values.values() for form in (value, quote(value, safe=""), json.dumps(value)[1:-1])}
    basic = filled.webhook.auth.basic
    if basic.password:
        hidden.add(base64.b64encode(f"{basic.username}:{basic.password}".encode()).decode())
    return tuple(hidden)
