"""Secrets of stored messages, encrypted at rest."""

import base64
from typing import Any

import pytest
from chronos.scheduler.v1 import stored_job_pb2
from structlog.testing import capture_logs

from libs.sealed_fields import is_sealed, sealed_paths
from libs.settings import load
from services.scheduler.adapters.sealed import NOTHING_SEALED, Sealed
from services.scheduler.app import open_sealed
from services.scheduler.domain.sealing_keys import PLAIN, key_id, parse_key
from services.scheduler.settings import SchedulerSettings

KEY, OTHER = (base64.b64encode(bytes([n]) * 32).decode() for n in (1, 2))
SECRETS = (b"t0ken", b"whsec_one", b"whsec_two", b"qhronos")


def stored(uid: str = "uid-1") -> stored_job_pb2.StoredJob:
    made = stored_job_pb2.StoredJob(request_id="r")
    made.job.uid, made.job.name = uid, "report"
    made.job.webhook.url = "https://a.example/"
    made.job.webhook.auth.bearer.token = "t0ken"
    made.job.signing.secrets.extend(["whsec_one", "whsec_two"])
    made.job.signing.qhronos_secret = "qhronos"
    return made


def trigger() -> stored_job_pb2.StoredTrigger:
    made = stored_job_pb2.StoredTrigger(execution_id="e", job_uid="uid-1")
    made.webhook.auth.api_key.key = "t0ken"
    return made


def tombstone() -> stored_job_pb2.StoredTombstone:
    made = stored_job_pb2.StoredTombstone(versions=[stored(), stored()])
    made.deleted_at.FromSeconds(9)
    return made


MESSAGES: list[tuple[str, Any]] = [("job", stored()), ("trigger", trigger()), ("tombstone", tombstone())]


def write(sealed: Sealed, kind: str, message: Any) -> bytes:
    value: bytes = getattr(sealed, f"write_{kind}")(message)
    return value


def read(sealed: Sealed, kind: str, value: bytes) -> Any:
    return getattr(sealed, f"read_{kind}")(value)


@pytest.mark.parametrize(("kind", "message"), MESSAGES)
def test_no_secret_is_written_and_all_are_read(kind: str, message: Any) -> None:
    sealed, before = Sealed([KEY]), message.SerializeToString()
    value = write(sealed, kind, message)
    assert [secret for secret in SECRETS if secret in value] == []
    assert read(sealed, kind, value) == message
    assert message.SerializeToString() == before


@pytest.mark.parametrize(("kind", "message"), MESSAGES)
@pytest.mark.parametrize("sealed", [NOTHING_SEALED, Sealed([PLAIN, KEY])])
def test_without_a_key_all_is_written_as_it_is(sealed: Sealed, kind: str, message: Any) -> None:
    assert write(sealed, kind, message) == message.SerializeToString()
    assert not sealed.is_encrypting


@pytest.mark.parametrize(("kind", "message"), MESSAGES)
def test_what_was_written_before_there_was_a_key_is_read(kind: str, message: Any) -> None:
    assert read(Sealed([KEY]), kind, message.SerializeToString()) == message


@pytest.mark.parametrize("keys", [[OTHER, KEY], [PLAIN, KEY]])
def test_a_key_that_encrypts_no_more_still_decrypts(keys: list[str]) -> None:
    value = Sealed([KEY]).write_job(stored())
    assert Sealed(keys).read_job(value) == stored()


def test_the_first_key_encrypts() -> None:
    value = Sealed([OTHER, KEY]).write_job(stored())
    assert Sealed([OTHER]).read_job(value) == stored()
    assert f"enc:v1:{key_id(parse_key(OTHER))}:".encode() in value


def test_the_same_secret_never_looks_the_same() -> None:
    sealed = Sealed([KEY])
    assert sealed.write_job(stored()) != sealed.write_job(stored())


def test_a_missing_key_leaves_the_secrets_encrypted_and_says_so_once() -> None:
    value, other = Sealed([KEY]).write_job(stored()), Sealed([OTHER])
    with capture_logs() as logs:
        found = other.read_job(value)
        other.read_job(value)
    assert sealed_paths(found) == [
        "job.webhook.auth.bearer.token",
        "job.signing.secrets[0]", "job.signing.secrets[1]", "job.signing.qhronos_secret",
    ]  # fmt: skip
    assert [(log["log_level"], log["job_uid"]) for log in logs] == [("error", "uid-1")] * 4
    assert key_id(parse_key(KEY)) in logs[0]["error"]
    assert (found.job.name, found.request_id) == ("report", "r")


@pytest.mark.parametrize("kind", ["job", "tombstone"])
def test_secrets_that_cannot_be_decrypted_outlive_a_change_by_somebody_without_the_key(kind: str) -> None:
    message = dict(MESSAGES)[kind]
    value, other = write(Sealed([KEY]), kind, message), Sealed([OTHER])
    again = write(other, kind, read(other, kind, value))
    assert read(Sealed([KEY]), kind, again) == message


def test_a_ciphertext_means_nothing_for_another_job_or_field() -> None:
    sealed = Sealed([KEY])
    closed = stored_job_pb2.StoredJob.FromString(sealed.write_job(stored()))
    moved = stored_job_pb2.StoredJob.FromString(closed.SerializeToString())
    moved.job.uid = "uid-2"
    assert len(sealed_paths(sealed.read_job(moved.SerializeToString()))) == 4
    swapped = stored_job_pb2.StoredJob.FromString(closed.SerializeToString())
    swapped.job.signing.secrets[:] = reversed(closed.job.signing.secrets)
    swapped.job.signing.qhronos_secret = closed.job.webhook.auth.bearer.token
    assert sealed_paths(sealed.read_job(swapped.SerializeToString())) == [
        "job.signing.secrets[0]", "job.signing.secrets[1]", "job.signing.qhronos_secret",
    ]  # fmt: skip


@pytest.mark.parametrize("damage", ["AAAA", "A", "====", "Zm9v" * 20])
def test_a_damaged_ciphertext_is_not_decrypted_and_breaks_nothing(damage: str) -> None:
    message = stored()
    message.job.webhook.auth.bearer.token = text = f"enc:v1:{key_id(parse_key(KEY))}:{damage}"
    found = Sealed([KEY]).read_job(message.SerializeToString())
    assert found.job.webhook.auth.bearer.token == text


def test_what_only_looks_encrypted_is_a_secret_like_any_other() -> None:
    message = stored()
    message.job.webhook.auth.bearer.token = "enc:v1:mine"
    assert not is_sealed("enc:v1:mine")
    sealed = Sealed([KEY])
    assert sealed.read_job(sealed.write_job(message)) == message
    assert sealed.read_job(message.SerializeToString()) == message


@pytest.mark.parametrize("text", ["shorty", base64.b64encode(b"x" * 31).decode(), "not+base64!", "Plain"])
def test_what_is_no_key_is_refused_without_being_shown(
    text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CHRONOS_ENCRYPTION_KEYS", f"{KEY},{text}")
    with pytest.raises(SystemExit):
        load(SchedulerSettings, [])
    said = capsys.readouterr().err
    assert "encryption_keys" in said
    assert "openssl rand -base64 32" in said
    assert text not in said
    assert KEY not in said


def test_a_scheduler_without_a_key_says_so_at_its_start() -> None:
    with capture_logs() as logs:
        assert not open_sealed(SchedulerSettings()).is_encrypting
    assert [log["event"] for log in logs] == ["secrets of jobs are stored in clear"]
    with capture_logs() as logs:
        assert open_sealed(SchedulerSettings(encryption_keys=(KEY,))).is_encrypting  # type: ignore[arg-type]
    assert logs == []
