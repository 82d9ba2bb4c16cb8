"""Secrets encrypted at rest: what is written to etcd, and what is read from there.

Each secret is encrypted by itself, with AES-256-GCM (NIST SP 800-38D) and a random nonce, and stands in its field as
`enc:v1:<key id>:<Base64 of nonce and ciphertext>`. Its associated data are the uid of its job and the path of its
field: in another place it cannot be decrypted.
"""

import base64
import os
from collections.abc import Mapping, Sequence

from chronos.scheduler.v1 import stored_job_pb2
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from libs.log import get_logger
from libs.sealed_fields import ENVELOPE, MARK, is_sealed
from libs.secret_fields import change_secrets, has_secrets
from services.scheduler.domain.sealing_keys import PLAIN, key_id, parse_key

NONCE_BYTES = 12
MOST_TOLD = 10_000
RAW_MARK = MARK.encode()
StoredJob = stored_job_pb2.StoredJob
StoredTrigger = stored_job_pb2.StoredTrigger
StoredTombstone = stored_job_pb2.StoredTombstone


class Sealed:
    """Stored messages with their secrets encrypted: the first key encrypts, and all of them decrypt.

    Without keys, and with `plain` as the first one, secrets are written as they are. What was written before there was
    a key is read all the same. A secret that cannot be decrypted keeps its encrypted form, also when it is written
    again; who needs it can tell by `libs.sealed_fields`.
    """

    def __init__(self, keys: Sequence[str] = ()) -> None:
        """`keys` are Base64, or `plain`. Raises ValueError for anything else."""
        named = [(key_id(key), AESGCM(key)) for key in (parse_key(text) for text in keys if text != PLAIN)]
        self._ciphers: Mapping[str, AESGCM] = dict(named)
        self._writer = named[0] if named and keys[0] != PLAIN else None
        self._told: set[tuple[str, str]] = set()
        self._log = get_logger()

    @property
    def is_encrypting(self) -> bool:
        """Whether secrets are encrypted before they are written."""
        return self._writer is not None

    def write_job(self, stored: StoredJob) -> bytes:
        """A job or version as it is stored."""
        return (self._close_job(stored) if self._must_close(stored) else stored).SerializeToString()

    def read_job(self, value: bytes) -> StoredJob:
        """A job or version as it was before it was stored."""
        stored = StoredJob.FromString(value)
        if RAW_MARK in value:
            self._open_job(stored)
        return stored

    def write_trigger(self, trigger: StoredTrigger) -> bytes:
        """A promised run as it is stored."""
        if not self._must_close(trigger):
            return trigger.SerializeToString()
        copy = StoredTrigger()
        copy.CopyFrom(trigger)
        change_secrets(copy, lambda path, secret: self._close(secret, trigger.job_uid, path))
        return copy.SerializeToString()

    def read_trigger(self, value: bytes) -> StoredTrigger:
        """A promised run as it was before it was stored."""
        trigger = StoredTrigger.FromString(value)
        if RAW_MARK in value:
            change_secrets(trigger, lambda path, secret: self._open(secret, trigger.job_uid, path))
        return trigger

    def write_tombstone(self, tombstone: StoredTombstone) -> bytes:
        """What a job was, as it is stored."""
        if not self._must_close(tombstone):
            return tombstone.SerializeToString()
        closed = StoredTombstone(versions=[self._close_job(stored) for stored in tombstone.versions])
        closed.deleted_at.CopyFrom(tombstone.deleted_at)
        return closed.SerializeToString()

    def read_tombstone(self, value: bytes) -> StoredTombstone:
        """What a job was, as it was before it was stored."""
        tombstone = StoredTombstone.FromString(value)
        if RAW_MARK in value:
            for stored in tombstone.versions:
                self._open_job(stored)
        return tombstone

    def _must_close(self, message: StoredJob | StoredTrigger | StoredTombstone) -> bool:
        return self._writer is not None and has_secrets(message)

    def _close_job(self, stored: StoredJob) -> StoredJob:
        copy = StoredJob()
        copy.CopyFrom(stored)
        change_secrets(copy, lambda path, secret: self._close(secret, stored.job.uid, path))
        return copy

    def _open_job(self, stored: StoredJob) -> None:
        change_secrets(stored, lambda path, secret: self._open(secret, stored.job.uid, path))

    def _close(self, secret: str, uid: str, path: str) -> str:
        if self._writer is None or is_sealed(secret):
            return secret
        name, cipher = self._writer
        nonce = os.urandom(NONCE_BYTES)
        sealed = nonce + cipher.encrypt(nonce, secret.encode(), _place(uid, path))
        return f"{MARK}{name}:{base64.b64encode(sealed).decode()}"

    def _open(self, text: str, uid: str, path: str) -> str:
        match = ENVELOPE.fullmatch(text)
        if match is None:
            return text
        name, cipher = match.group(1), self._ciphers.get(match.group(1))
        if cipher is None:
            self._tell(uid, path, f"it was encrypted with the key {name}, which is not among encryption_keys")
            return text
        try:
            sealed = base64.b64decode(match.group(2), validate=True)
            return cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], _place(uid, path)).decode()
        except (InvalidTag, ValueError):
            self._tell(uid, path, "it is damaged, or was encrypted for another job or field")
            return text

    def _tell(self, uid: str, path: str, why: str) -> None:
        if (uid, path) not in self._told and len(self._told) < MOST_TOLD:
            self._told.add((uid, path))
            self._log.error("stored secret cannot be decrypted", job_uid=uid, field=path, error=why)


NOTHING_SEALED = Sealed()


def _place(uid: str, path: str) -> bytes:
    return f"{uid}\n{path}".encode()
