"""References to secrets (`${secret:…}`) in targets."""

from collections.abc import Iterator

from chronos.scheduler.v1 import job_pb2
from google.protobuf.message import Message

from libs.faults import Violation
from libs.redaction import MASK
from libs.sealed_fields import replace_sealed
from libs.secret_references import REFERENCE, has_references, is_reference, references_in
from libs.target_texts import ADDRESSES, URL, after_authority, change_texts

# Rules about certificates look for its first line.
CERTIFICATE = "-----BEGIN CERTIFICATE-----"
CERTIFICATES = ("ca_cert", "client_cert")


def reference_violations(job: job_pb2.Job) -> Iterator[Violation]:
    """References that mean nothing, or stand where none may."""
    for root in _roots(job):
        found: list[Violation] = []

        def look(path: str, field: str, text: str, root: str = root, found: list[Violation] = found) -> str:
            if has_references(text):
                found += _violations(f"{root}.{path}", field, text)
            return text

        change_texts(getattr(job, root), look)
        yield from found


def checkable(job: job_pb2.Job) -> job_pb2.Job:
    """The job with masks in the places of secrets that nobody knows yet, or that cannot be decrypted.

    Rules pass masks over.
    """
    copy = job_pb2.Job()
    copy.CopyFrom(job)
    replace_sealed(copy, MASK)
    for root in _roots(copy):
        change_texts(getattr(copy, root), _stand_in)
    return copy


def _roots(job: Message) -> list[str]:
    kind = job.WhichOneof("target")
    return [name for name in (kind, "signing") if name is not None and job.HasField(name)]


def _stand_in(path: str, field: str, text: str) -> str:
    del field
    if not has_references(text):
        return text
    if path.rpartition(".")[2] in CERTIFICATES and is_reference(text):
        return CERTIFICATE
    return REFERENCE.sub(MASK, text)


def _violations(path: str, field: str, text: str) -> Iterator[Violation]:
    try:
        list(references_in(text))
    except ValueError as error:
        yield Violation(field=path, description=str(error))
        return
    if field in ADDRESSES:
        yield Violation(
            field=path, description="says where the job delivers to, which cannot be a secret; write it out"
        )
    elif field == URL and has_references(text[: after_authority(text)]):
        yield Violation(
            field=path, description="has a secret in its host, which cannot be one; secrets may stand in path and query"
        )
