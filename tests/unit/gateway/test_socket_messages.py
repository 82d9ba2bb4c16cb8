"""What programs and the gateway say to each other."""

import json

import pytest

from services.gateway.domain.socket_messages import (
    SocketEvent,
    SocketMessageError,
    event_text,
    parse_acknowledgement,
    parse_hello,
)


def test_a_client_says_its_name_and_a_listener_its_tags() -> None:
    client = parse_hello('{"type": "client-hook", "client_name": "till-3", "token": "t"}')
    assert (client.client_name, client.namespace, client.token) == ("till-3", "default", "t")
    listener = parse_hello('{"type": "tag-listener", "tags": ["a", "b"], "token": "t", "namespace": "shop"}')
    assert (listener.client_name, listener.namespace, listener.tags) == ("", "shop", frozenset({"a", "b"}))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("hello", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "not a JSON object"),
        ('{"type": "client-hook", "client_name": "a"}', "token"),
        ('{"type": "client-hook", "token": "t"}', "client_name"),
        ('{"type": "client-hook", "token": "t", "client_name": "a b"}', "client_name"),
        ('{"type": "tag-listener", "token": "t", "tags": []}', "tags"),
        ('{"type": "tag-listener", "token": "t", "tags": "a"}', "tags"),
        ('{"type": "tag-listener", "token": "t", "tags": [1]}', "tags"),
        ('{"type": "client-hook", "token": "t", "client_name": "a", "namespace": 1}', "namespace"),
        ('{"type": "spy", "token": "t"}', "type"),
    ],
)
def test_a_first_message_that_means_nothing_is_refused(text: str, why: str) -> None:
    with pytest.raises(SocketMessageError, match=why):
        parse_hello(text)


def test_an_event_is_acknowledged_or_refused() -> None:
    accepted = parse_acknowledgement('{"type": "ack", "event_id": "j", "occurrence_id": "e"}')
    assert (accepted.occurrence_id, accepted.is_accepted, accepted.note) == ("e", True, "")
    refused = parse_acknowledgement('{"type": "nack", "occurrence_id": "e", "message": "out of paper"}')
    assert (refused.is_accepted, refused.note) == (False, "out of paper")


@pytest.mark.parametrize("text", ["{}", '{"type": "ack"}', '{"type": "event", "occurrence_id": "e"}', "no"])
def test_an_acknowledgement_that_means_nothing_is_refused(text: str) -> None:
    with pytest.raises(SocketMessageError):
        parse_acknowledgement(text)


@pytest.mark.parametrize(("payload", "sent"), [('{"a": 1}', {"a": 1}), ("plain text", "plain text"), ("", None)])
def test_a_payload_that_is_json_is_part_of_the_message(payload: str, sent: object) -> None:
    event = SocketEvent(
        namespace="default", event_id="j", occurrence_id="e", payload=payload, tags=["a"],
        headers={"x-chronos-job-id": "j"},
    )  # fmt: skip
    message = json.loads(event_text(event))
    assert message["payload"] == sent
    assert (message["type"], message["event_id"], message["occurrence_id"]) == ("event", "j", "e")
    assert (message["tags"], message["headers"]) == (["a"], {"x-chronos-job-id": "j"})
