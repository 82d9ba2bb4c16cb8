"""Targets as other documents write them: under `dispatch:`, and with other names for some fields."""

from collections.abc import Callable, Mapping
from typing import Any

from cli.chronosctl.errors import UsageError

Json = dict[str, Any]
KINDS = {"http": "webhook"} | {name: name for name in ("grpc", "kafka", "nats", "rabbitmq", "websocket")}
ACKS = {"0": "NONE", "1": "LEADER", "-1": "ALL"}
DELIVERY_MODES = {"0": True, "1": False, "2": True}
# For each type, the field of the API and the names in it, by those in this form.
AUTH_FORMS: Mapping[str, Mapping[str, tuple[str, Mapping[str, str]]]] = {
    "webhook": {
        "basic": ("basic", {"username": "username", "password": "password"}),
        "bearer": ("bearer", {"token": "token"}),
        "api_key": ("api_key", {"header": "header", "api_key": "key"}),
    },
    "nats": {
        "token": ("", {"token": "token"}),
        "userpass": ("user", {"username": "username", "password": "password"}),
        "nkey": ("", {"nkey_seed": "nkey_seed"}),
        "jwt": ("jwt", {"jwt": "jwt", "nkey_seed": "nkey_seed"}),
        "credentials": ("", {"credentials": "credentials"}),
    },
}
TLS_FILES = {"ca_cert_file": "ca_cert", "cert_file": "client_cert", "key_file": "client_key"}


def with_plain_target(job: Json) -> Json:
    """The job with its target as the API takes it. Raises UsageError for what is contradictory or cannot be had."""
    found = _without_dispatch(job)
    for kind, plain in PLAIN.items():
        if isinstance(found.get(kind), dict):
            found = {**found, kind: plain(_without_files(kind, found[kind]))}
    return found


def _without_dispatch(job: Json) -> Json:
    given = job.get("dispatch")
    if given is None:
        return {name: value for name, value in job.items() if name != "dispatch"}
    if not isinstance(given, dict):
        raise UsageError(f"dispatch has fields: `type:` and one of {', '.join(KINDS)}")
    blocks = {name: value for name, value in given.items() if name != "type" and value is not None}
    if unknown := sorted(blocks.keys() - KINDS.keys()):
        raise UsageError(f"dispatch has no field {unknown[0]!r}; there are type, {', '.join(KINDS)}")
    named = str(given.get("type") or "").lower()
    if named and named not in KINDS:
        raise UsageError(f"dispatch.type is {given['type']!r}; it is one of {', '.join(KINDS)}")
    if len(blocks) > 1 or (named and blocks.keys() - {named}):
        wanted = f"dispatch.type is {named}" if named else "a job has one target"
        raise UsageError(f"{wanted}, and dispatch has {' and '.join(sorted(blocks))}; leave one")
    rest = {name: value for name, value in job.items() if name != "dispatch"}
    for name, block in blocks.items():
        if KINDS[name] in rest:
            raise UsageError(f"dispatch.{name} and {KINDS[name]} mean the same; give one of the two")
        rest[KINDS[name]] = block
    if named and KINDS[named] not in rest:
        raise UsageError(f"dispatch.type is {named}, and there is no dispatch.{named}; give it, with its fields")
    return rest


def _webhook(given: Json) -> Json:
    return _with_auth("webhook", given)


def _grpc(given: Json) -> Json:
    return _without_retries("grpc", _renamed(given, {"target": "address"}, "grpc"))


def _kafka(given: Json) -> Json:
    plain = _renamed(given, {"required_acks": "acks"}, "kafka")
    if str(plain.get("acks")) in ACKS:
        plain["acks"] = ACKS[str(plain["acks"])]
    if str(plain.get("compression")).lower() == "none":
        plain.pop("compression", None)
    return _without_retries("kafka", plain)


def _nats(given: Json) -> Json:
    plain = _with_auth("nats", given)
    stream = plain.get("jetstream")
    if isinstance(stream, bool):
        plain["jetstream"] = {"enabled": stream}
    elif isinstance(stream, dict):
        if "stream" in stream and stream.get("expect_stream") == stream["stream"]:
            stream = {name: value for name, value in stream.items() if name != "expect_stream"}
        names = {"msg_id": "message_id", "expect_stream": "stream", "expect_last_msg_id": "expect_last_message_id"}
        plain["jetstream"] = _renamed(stream, names, "nats.jetstream")
    return plain


def _rabbitmq(given: Json) -> Json:
    plain = dict(given)
    if plain.pop("immediate", False):
        raise UsageError(
            "rabbitmq.immediate cannot be had, since RabbitMQ knows it no more from 3.0 on; leave it out: "
            "`mandatory` tells when no queue takes a message, and `expiration` drops what is not taken in time"
        )
    if plain.pop("confirm_mode", True) is not True:
        raise UsageError(
            "rabbitmq.confirm_mode is always true: without confirms nobody knows what arrived; leave it out"
        )
    if "delivery_mode" in plain:
        mode = str(plain.pop("delivery_mode"))
        if mode not in DELIVERY_MODES:
            raise UsageError(f"rabbitmq.delivery_mode is {mode}; it is 1 (lost with the broker) or 2 (kept on disk)")
        if plain.setdefault("persistent", DELIVERY_MODES[mode]) != DELIVERY_MODES[mode]:
            raise UsageError("rabbitmq.delivery_mode and persistent contradict each other; give one of the two")
    return plain


PLAIN: Mapping[str, Callable[[Json], Json]] = {
    "webhook": _webhook,
    "grpc": _grpc,
    "kafka": _kafka,
    "nats": _nats,
    "rabbitmq": _rabbitmq,
}


def _with_auth(kind: str, given: Json) -> Json:
    """Credentials in the form `{type: userpass, username: …}` as the API has them; those as they are."""
    auth = given.get("auth")
    if not isinstance(auth, dict) or "type" not in auth:
        return dict(given)
    rest = {name: value for name, value in given.items() if name != "auth"}
    name = str(auth["type"] or "").lower()
    if name in ("", "none"):
        return rest
    where, forms = f"{kind}.auth", AUTH_FORMS[kind]
    if name not in forms:
        raise UsageError(f"{where}.type is {auth['type']!r}; it is one of {', '.join(forms)}")
    if "credentials_file" in auth:
        raise UsageError(
            f"{where}.credentials_file names a file, which dispatchers do not read; put its text into "
            f"{where}.credentials, as `credentials: |` and the lines of the file"
        )
    outer, fields = forms[name]
    if unknown := sorted(auth.keys() - {"type", *fields}):
        raise UsageError(f"{where} of type {name} has no field {unknown[0]!r}; it has {', '.join(fields)}")
    values = {fields[field]: value for field, value in auth.items() if field != "type"}
    return {**rest, "auth": {outer: values} if outer else values}


def _without_files(kind: str, given: Json) -> Json:
    tls = given.get("tls")
    for file, field in TLS_FILES.items():
        if isinstance(tls, dict) and tls.get(file):
            raise UsageError(
                f"{kind}.tls.{file} names a file, which dispatchers do not read; put its text into {kind}.tls.{field}, "
                f"as `{field}: |` and the lines of the file"
            )
    return given


def _without_retries(kind: str, given: Json) -> Json:
    if "max_retries" in given:
        raise UsageError(f"{kind}.max_retries: retries are the job's; write retry_policy: {{max_attempts: …}}")
    return given


def _renamed(given: Json, names: Mapping[str, str], where: str) -> Json:
    for alias, name in names.items():
        if alias in given and name in given:
            raise UsageError(f"{where}.{alias} is short for {where}.{name}; give one of the two")
    return {names.get(name, name): value for name, value in given.items()}
