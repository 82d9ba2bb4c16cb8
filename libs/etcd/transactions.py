"""The parts of a transaction: what must hold, what is done, what came of it."""

from dataclasses import dataclass
from enum import StrEnum

from libs.etcd.values import KeyValue


class Subject(StrEnum):
    """The side of a key that a comparison looks at."""

    CREATE_REVISION = "create_revision"
    MOD_REVISION = "mod_revision"
    VALUE = "value"
    LEASE = "lease"


@dataclass(frozen=True, slots=True, kw_only=True)
class Compare:
    """Something that must hold for a transaction to take its success branch. Equality only."""

    key: bytes
    subject: Subject
    expected: int | bytes

    @staticmethod
    def absent(key: bytes) -> "Compare":
        """There is no such key."""
        return Compare(key=key, subject=Subject.CREATE_REVISION, expected=0)

    @staticmethod
    def create_revision_is(key: bytes, revision: int) -> "Compare":
        """The key was created at that revision and not deleted since."""
        return Compare(key=key, subject=Subject.CREATE_REVISION, expected=revision)

    @staticmethod
    def mod_revision_is(key: bytes, revision: int) -> "Compare":
        """The key was last written at that revision; 0 means absent."""
        return Compare(key=key, subject=Subject.MOD_REVISION, expected=revision)

    @staticmethod
    def value_is(key: bytes, value: bytes) -> "Compare":
        """The key exists and holds exactly these bytes."""
        return Compare(key=key, subject=Subject.VALUE, expected=value)

    @staticmethod
    def lease_is(key: bytes, lease: int) -> "Compare":
        """The key belongs to that lease."""
        return Compare(key=key, subject=Subject.LEASE, expected=lease)


@dataclass(frozen=True, slots=True)
class Put:
    """Writes a key. A lease that has ended fails the whole transaction with LeaseLost."""

    key: bytes
    value: bytes
    lease: int = 0


@dataclass(frozen=True, slots=True)
class Delete:
    """Deletes a key, if it is there."""

    key: bytes


@dataclass(frozen=True, slots=True)
class DeletePrefix:
    """Deletes all keys that start with `prefix`."""

    prefix: bytes


@dataclass(frozen=True, slots=True)
class Get:
    """Reads a key."""

    key: bytes


@dataclass(frozen=True, slots=True)
class GetPrefix:
    """Reads the first `limit` keys (0: all) that start with `prefix`, in order."""

    prefix: bytes
    limit: int = 0
    keys_only: bool = False


Operation = Put | Delete | DeletePrefix | Get | GetPrefix


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationResult:
    """What one operation gave: `items` of a Get or GetPrefix, the number `deleted` of a Delete or DeletePrefix."""

    items: tuple[KeyValue, ...] = ()
    deleted: int = 0

    @property
    def item(self) -> KeyValue | None:
        """What a Get found."""
        return self.items[0] if self.items else None


@dataclass(frozen=True, slots=True, kw_only=True)
class TxnResult:
    """`responses` has one element for each operation of the branch that was taken, in their order.

    `revision` is that of the store after the transaction; keys that it created have it as their create revision.
    """

    succeeded: bool
    revision: int
    responses: tuple[OperationResult, ...]
