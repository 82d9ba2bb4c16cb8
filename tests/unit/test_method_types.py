"""Types of methods that are known only at run time."""

import pytest
from google.protobuf import timestamp_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

from libs.method_types import types_in_files, types_in_set
from tests.servers.orders import FILES, PLACE, Order, Placed, descriptor_set


def test_json_becomes_the_wire_and_back() -> None:
    types = types_in_set(descriptor_set(), PLACE)
    encoded = types.encode('{"customer": "änn", "amountCents": 5, "due": "2026-01-01T00:00:00Z"}'.encode())
    order = Order.FromString(encoded)
    assert (order.customer, order.amount_cents, order.due.seconds) == ("änn", 5, 1767225600)
    assert (
        types.decode(Placed(order_id="ü", amount_cents=5).SerializeToString()) == '{"orderId": "ü", "amountCents": 5}'
    )


def test_nothing_is_an_empty_message() -> None:
    assert types_in_set(descriptor_set(), PLACE).encode(b"") == b""


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        (b'{"amountCents": "many"}', "Failed to parse amountCents field"),
        (b'{"amountCents": 3000000000}', "Value out of range"),
        (b'{"items": [{}, {"count": 1.5}]}', r"Couldn't parse integer: 1.5 at Order.items\[1\].count"),
        (b'{"customer": "a", "customer": "b"}', "duplicate key customer"),
        (b"[1]", "does not fit shop.v1.Order"),
        (b"null", "does not fit shop.v1.Order"),
        (b"\xff", "does not fit shop.v1.Order"),
        (b'{"items": ' * 1_000 + b"1" + b"}" * 1_000, "does not fit shop.v1.Order"),
        (b"[" * 100_000, "does not fit shop.v1.Order"),
    ],
)
def test_a_payload_that_does_not_fit_says_where_in_one_line(payload: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        types_in_set(descriptor_set(), PLACE).encode(payload)
    assert "\n" not in str(caught.value)


def test_an_answer_of_another_type_is_told_apart() -> None:
    with pytest.raises(ValueError, match=r"the answer is no shop\.v1\.Placed"):
        types_in_set(descriptor_set(), PLACE).decode(b"\xff\xff")


def test_methods_of_one_set_do_not_disturb_each_other() -> None:
    first, second = types_in_set(descriptor_set(), PLACE), types_in_set(descriptor_set(), PLACE)
    assert first.encode(b'{"customer": "a"}') == second.encode(b'{"customer": "a"}')


def files(*imports: tuple[str, str]) -> list[FileDescriptorProto]:
    return [FileDescriptorProto(name=name, dependency=[needed]) for name, needed in imports]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (files(("a.proto", "b.proto")), "lacks b.proto, which is imported"),
        (files(("a.proto", "google/protobuf/nothing.proto")), "lacks google/protobuf/nothing.proto"),
        (files(("a.proto", "b.proto"), ("b.proto", "a.proto")), "import each other: a.proto"),
        (files(*((f"{number}", f"{number + 1}") for number in range(5_000))), "a chain of more than 100 imports"),
        ([FileDescriptorProto(name="a.proto", syntax="proto9")], "has a file that is not valid"),
        (FILES[1:], "has no service shop.v1.OrderService"),
        ([], "has no service shop.v1.OrderService"),
    ],
)
def test_files_that_do_not_hold_the_method_are_refused(given: list[FileDescriptorProto], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        types_in_files(given, PLACE)


@pytest.mark.parametrize("text", [b"\xff", b"\x0a\x05"])
def test_what_is_no_set_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match="is no FileDescriptorSet"):
        types_in_set(text, PLACE)


def test_a_set_may_hold_googles_own_types_or_not() -> None:
    own = FileDescriptorProto.FromString(timestamp_pb2.DESCRIPTOR.serialized_pb)
    whole = FileDescriptorSet(file=[*FILES, own]).SerializeToString()
    payload = b'{"due": "2026-01-01T00:00:00Z"}'
    assert types_in_set(whole, PLACE).encode(payload) == types_in_set(descriptor_set(), PLACE).encode(payload)
