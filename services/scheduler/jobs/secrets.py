"""The secrets of a job: how answers hide them, and how they come back."""

from chronos.scheduler.v1 import job_pb2

from libs.faults import InvalidArgument, Violation
from libs.secret_fields import mask, secret_paths, unmask

SECRET_PATHS = secret_paths(job_pb2.Job.DESCRIPTOR)


def masked_job(job: job_pb2.Job) -> job_pb2.Job:
    """A copy of a job without its secrets."""
    copy = job_pb2.Job()
    copy.CopyFrom(job)
    mask(copy)
    return copy


def keep_secrets(job: job_pb2.Job, stored: job_pb2.Job) -> None:
    """Puts the stored secrets where `job` gives back their masks. Raises InvalidArgument where none is."""
    if missing := unmask(job, stored):
        description = "gives back a mask, but no such secret is stored; give the secret"
        raise InvalidArgument([Violation(field=path, description=description) for path in missing])
