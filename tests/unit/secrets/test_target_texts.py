import pytest
from chronos.scheduler.v1 import job_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from libs.target_texts import ADDRESSES, PACKAGE, TEMPLATES, URL, after_authority, change_texts

TARGETS = [field.message_type for field in job_pb2.Job.DESCRIPTOR.oneofs_by_name["target"].fields]


def text_fields(descriptor: Descriptor) -> set[str]:
    found = {field.full_name for field in descriptor.fields if field.type == FieldDescriptor.TYPE_STRING}
    for field in descriptor.fields:
        nested = field.message_type
        if nested is not None and nested.full_name.startswith(PACKAGE) and not nested.GetOptions().map_entry:
            found |= text_fields(nested)
    return found


def test_the_fields_with_rules_of_their_own_are_texts_of_targets() -> None:
    known = {name for descriptor in TARGETS if descriptor is not None for name in text_fields(descriptor)}
    assert known >= ADDRESSES | TEMPLATES | {URL}
    assert not ADDRESSES & TEMPLATES


def test_all_texts_of_a_target_are_seen_with_their_places() -> None:
    job = job_pb2.Job()
    job.kafka.brokers.extend(["a:1", "b:2"])
    job.kafka.headers["X-Key"] = "k"
    job.kafka.sasl.password = "p"
    job.kafka.timeout.FromSeconds(3)
    seen: dict[str, str] = {}

    def look(path: str, field: str, text: str) -> str:
        seen[path] = field.removeprefix(PACKAGE)
        return text.upper()

    change_texts(job.kafka, look)
    assert seen == {
        "brokers[0]": "KafkaTarget.brokers",
        "brokers[1]": "KafkaTarget.brokers",
        'headers["X-Key"]': "KafkaTarget.headers",
        "sasl.password": "KafkaSasl.password",
    }
    assert (list(job.kafka.brokers), dict(job.kafka.headers)) == (["A:1", "B:2"], {"X-Key": "K"})


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://a.example/x", "https://a.example"),
        ("https://a.example?x", "https://a.example"),
        ("https://a.example:8443#x", "https://a.example:8443"),
        ("https://a.example", "https://a.example"),
        ("//a.example/x", "//a.example"),
        ("https:a.example", "https:"),
    ],
)
def test_the_host_of_a_url_ends_where_its_path_begins(url: str, host: str) -> None:
    assert url[: after_authority(url)] == host
