"""What a job does, in a few words, and the details of it, a field a line."""

from typing import Any

Json = dict[str, Any]
Facts = list[tuple[str, Any]]
KINDS = ("webhook", "grpc", "kafka", "nats", "rabbitmq", "websocket")
# They stand in the line that says what the job does, are shown in another form, or are too long for a line.
NOT_LISTED = frozenset({
    "url", "method", "address", "brokers", "topic", "subject", "exchange", "queue", "routing_key", "request_reply",
    "client_name",
    "headers", "metadata", "auth", "sasl", "username", "password", "tls", "jetstream", "timeout", "success_codes",
    "body", "payload", "raw_payload", "descriptor_set",
})  # fmt: skip


def target(job: Json) -> str:
    """What a job does, in a few words: `POST https://…`, `PUBLISH kafka://host:9092/topic`."""
    kind, given = _target(job)
    match kind:
        case "webhook":
            return f"{given.get('method') or 'POST'} {given.get('url', '')}".strip()
        case "grpc":
            return f"CALL grpc://{given.get('address', '')}{given.get('method', '')}"
        case "kafka":
            return f"PUBLISH kafka://{','.join(given.get('brokers') or ())}/{given.get('topic', '')}"
        case "nats":
            verb = "REQUEST" if given.get("request_reply") else "PUBLISH"
            return f"{verb} {str(given.get('url', '')).rstrip('/')}/{given.get('subject', '')}"
        case "rabbitmq":
            place = [f"queue {given['queue']}"] if given.get("queue") else [f"exchange {given.get('exchange', '')}"]
            key = [f"key {given['routing_key']}"] if given.get("routing_key") else []
            return f"PUBLISH {given.get('url', '')} ({', '.join(place + key)})"
        case "websocket":
            return f"SEND ws:{given.get('client_name', '')}"
        case _:
            return ""


def target_facts(job: Json) -> Facts:
    """How it does that; what is not set is empty. Secrets and texts that are sent are left out."""
    _, given = _target(job)
    stream = given.get("jetstream") or {}
    return [
        ("headers", pairs_text(given.get("headers"))),
        ("metadata", pairs_text(given.get("metadata"))),
        ("auth", _credentials(given)),
        ("success codes", ", ".join(map(str, given.get("success_codes") or ()))),
        ("tls", _tls(given.get("tls") or {})),
        ("jetstream", _stream(stream) if stream.get("enabled") else ""),
        *((name.replace("_", " "), _text(value)) for name, value in given.items() if name not in NOT_LISTED),
    ]


def contract_facts(job: Json) -> Facts:
    """What deliveries carry besides: signatures, the attributes of an event."""
    signing, event = job.get("signing") or {}, job.get("cloud_event")
    secrets = len(signing.get("secrets") or ())
    signatures = [f"webhook-signature, {secrets} secret{'s' if secrets > 1 else ''}"] if secrets else []
    signatures += ["X-Qhronos-Signature"] if signing.get("qhronos_secret") else []
    shown = {name: value for name, value in (event or {}).items() if value}
    return [
        ("signed", "; ".join(signatures)),
        ("cloud event", (pairs_text(shown) or "mode=BINARY") if event is not None else ""),
    ]


def target_timeout(job: Json) -> str:
    """The longest time for one attempt that the target gives; empty when it is the job's."""
    return str(_target(job)[1].get("timeout") or "")


def pairs_text(mapping: Json | None) -> str:
    """`key=value, …`."""
    return ", ".join(f"{key}={value}" for key, value in (mapping or {}).items())


def _target(job: Json) -> tuple[str, Json]:
    return next(((kind, job[kind]) for kind in KINDS if job.get(kind)), ("", {}))


def _credentials(given: Json) -> str:
    sasl, auth = given.get("sasl") or {}, given.get("auth") or {}
    who = sasl.get("username") or given.get("username") or next(
        (kind["username"] for kind in auth.values() if isinstance(kind, dict) and kind.get("username")), ""
    )  # fmt: skip
    how = str(sasl.get("mechanism", "")).replace("_", "-") if sasl else ", ".join(auth)
    return " as ".join(part for part in (how, who) if part)


def _tls(tls: Json) -> str:
    parts = [
        "on" if tls.get("enabled") else "",
        f"server {tls['server_name']}" if tls.get("server_name") else "",
        "own authorities" if tls.get("ca_cert") else "",
        "client certificate" if tls.get("client_cert") else "",
        "any certificate is trusted" if tls.get("insecure_skip_verify") else "",
    ]
    return ", ".join(part for part in parts if part)


def _stream(stream: Json) -> str:
    rest = {name: value for name, value in stream.items() if name != "enabled" and value}
    return pairs_text(rest) or "any stream"


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return pairs_text({name: _text(inner) for name, inner in value.items()})
    if isinstance(value, list):
        return ", ".join(map(str, value))
    text = str(value)
    return "" if text.endswith("_UNSPECIFIED") else {"True": "yes", "False": "no"}.get(text, text)
