"""How much runs now, for those who want to know."""

from collections.abc import Callable

from chronos.policy.v1 import decision_service_pb2

Load = decision_service_pb2.Load
Count = Callable[[str, str], tuple[int, int]]


class RunLoads:
    """See ports.policies.Loads. Nothing is under way until somebody counts."""

    def __init__(self) -> None:
        self._count: Count | None = None

    def count_by(self, count: Count) -> None:
        """From now on, `count` says of a namespace and the uid of a job how many runs of the job and of the namespace
        are under way on this replica.
        """
        self._count = count

    def of(self, namespace: str, job_uid: str) -> Load:
        """See ports.policies.Loads."""
        job_runs, namespace_runs = self._count(namespace, job_uid) if self._count is not None else (0, 0)
        return Load(job_runs=job_runs, namespace_runs=namespace_runs)
