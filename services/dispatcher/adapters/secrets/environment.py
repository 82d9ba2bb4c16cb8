"""Secrets in the dispatcher's environment."""

import os
from collections.abc import Mapping

from services.dispatcher.domain.results import Failure, FailureKind


class EnvironmentSecrets:
    """Variables whose names begin with `prefix`; all others, the dispatcher's settings among them, are nobody's.

    See SecretSource.
    """

    def __init__(self, prefix: str, environment: Mapping[str, str] | None = None) -> None:
        self._prefix = prefix
        self._environment = os.environ if environment is None else environment  # noqa: TID251 - jobs name them, no setting does

    async def read(self, name: str) -> str | Failure:
        """See SecretSource."""
        if not name.startswith(self._prefix):
            return Failure(
                kind=FailureKind.INVALID,
                error=f"only variables whose names begin with {self._prefix} may be referred to",
            )
        value = self._environment.get(name)
        if value is None:
            return Failure(kind=FailureKind.INVALID, error="there is no such variable in the dispatcher's environment")
        return value
