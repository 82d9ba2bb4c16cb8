"""What code that keeps state in etcd is given; the real client and the tests' fake both fit."""

from collections.abc import AsyncGenerator, Sequence
from datetime import timedelta
from typing import Protocol

from libs.etcd.transactions import Compare, Operation, TxnResult
from libs.etcd.values import Changes, EndpointStatus, KeyValue, Listing, Snapshot


class Log(Protocol):
    """The part of a structlog logger that is used here."""

    def info(self, event: str, **fields: object) -> object:
        """Notes something normal."""

    def warning(self, event: str, **fields: object) -> object:
        """Notes something that an operator should know."""


class Etcd(Protocol):
    """A strictly serializable store of sorted keys. All calls raise Unavailable when no server answers in time.

    After Unavailable from `put`, `delete` or `txn` the outcome is unknown: read before writing again.
    """

    async def get(self, key: bytes) -> KeyValue | None:
        """The key as it is now."""

    async def get_many(self, keys: Sequence[bytes]) -> list[KeyValue | None]:
        """Several keys, in the order asked for, all as of one revision."""

    async def list_prefix(
        self, prefix: bytes, *, after: bytes = b"", limit: int = 0, keys_only: bool = False
    ) -> Listing:
        """The keys that start with `prefix`, in order, as of one revision; `limit` 0 means all.

        `after` is a whole key: the listing starts with the next one.
        """

    async def count(self, prefix: bytes) -> int:
        """How many keys start with `prefix`."""

    async def put(self, key: bytes, value: bytes, lease: int = 0) -> int:
        """Writes a key and returns the revision. Raises LeaseLost when the lease has ended."""

    async def delete(self, key: bytes) -> bool:
        """Deletes a key and says whether it was there."""

    async def txn(
        self, compares: Sequence[Compare], success: Sequence[Operation], failure: Sequence[Operation] = ()
    ) -> TxnResult:
        """Does `success` if all of `compares` hold, else `failure`; all at one moment. At most 128 of each.

        Raises LeaseLost when it puts under a lease that has ended; nothing is written then.
        """

    def follow(self, prefix: bytes, *, deletes_only: bool = False) -> AsyncGenerator[Snapshot | Changes, None]:
        """The state of a prefix and then each change to it, without a gap, for ever.

        Starts with a Snapshot. Survives disconnects and restarts of servers; when the store no longer knows what
        changed since, another Snapshot follows. `deletes_only` leaves out puts after the Snapshot. A follower that is
        left other than by cancellation wants `contextlib.aclosing`.
        """

    async def grant(self, ttl: timedelta) -> int:
        """A new lease. Whole seconds, rounded up; servers make it at least 2 s with their default election timeout."""

    async def keep_alive(self, lease: int, *, timeout: timedelta = timedelta(seconds=1)) -> bool:
        """Extends a lease by its TTL. False: it has ended."""

    async def revoke(self, lease: int) -> None:
        """Ends a lease and deletes its keys. One that has ended already is fine."""

    async def compact(self, revision: int) -> None:
        """Forgets what was overwritten or deleted before `revision`."""

    async def statuses(self) -> list[EndpointStatus]:
        """How each server does, in the order of the endpoints. Does not raise."""

    async def wait_until_ready(self, log: Log) -> None:
        """Waits, with a line in the log every few seconds, until the cluster answers a consistent read."""

    async def guard(self, interval: timedelta) -> None:
        """Runs for ever. Followers leave a server that is not up to date within about three intervals.

        Asks each server that has followers once in an interval; see `libs.etcd.guard`.
        """

    async def close(self) -> None:
        """Ends all connections."""
