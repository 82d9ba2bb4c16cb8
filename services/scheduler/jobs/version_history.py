"""Which version of a job was in force when."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from chronos.scheduler.v1 import stored_job_pb2

from services.scheduler.convert.firing import instant
from services.scheduler.ports.jobs import VersionStore

VERSIONS_AT_ONCE = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionHistory:
    """The versions of a job around a moment, as far as they are kept.

    `in_force` is the one that held then, `newer` came after it (the oldest first), and `disabled_by` began the stretch
    of disabled versions that `in_force` belongs to. `is_certain` is False when some between are not kept.
    """

    in_force: stored_job_pb2.StoredJob | None = None
    newer: Sequence[stored_job_pb2.StoredJob] = ()
    disabled_by: stored_job_pb2.StoredJob | None = None
    is_certain: bool = True


async def history_at(store: VersionStore, current: stored_job_pb2.StoredJob, at: datetime) -> VersionHistory:
    """The versions around `at`, of which `current` is the present one."""
    known = [current]
    has_more = True
    while has_more and not _is_enough(known, at):
        below = known[-1].job.version
        page = await store.page(current.job.namespace, current.job.id, below=below, limit=VERSIONS_AT_ONCE)
        known += [version for version in page.versions if version.job.uid == current.job.uid]
        has_more = page.has_more
    place = next((place for place, version in enumerate(known) if made_at(version) <= at), None)
    if place is None:
        return VersionHistory(newer=known[::-1], is_certain=False)
    in_force = known[place]
    return VersionHistory(
        in_force=in_force,
        newer=known[:place][::-1],
        disabled_by=None if in_force.job.enabled else _first_disabled(known[place:]),
        is_certain=place == 0 or known[place - 1].job.version == in_force.job.version + 1,
    )


def made_at(version: stored_job_pb2.StoredJob) -> datetime:
    """When a version came into force."""
    return instant(version.job.updated_at)


def _is_enough(known: Sequence[stored_job_pb2.StoredJob], at: datetime) -> bool:
    """Whether the version in force is known, and, if it is disabled, the enabled one before."""
    return any(made_at(version) <= at and version.job.enabled for version in known)


def _first_disabled(older: Sequence[stored_job_pb2.StoredJob]) -> stored_job_pb2.StoredJob:
    """The version that disabled the job, of versions from a disabled one back."""
    found = older[0]
    for version in older[1:]:
        if version.job.enabled or version.job.version != found.job.version - 1:
            break
        found = version
    return found
