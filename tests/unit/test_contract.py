"""The contract as read from descriptors."""

import pytest
from google.api import annotations_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from libs.contract import HttpRule, RateClass, read_contract
from tests.architecture.tree import ROOT

DESCRIPTORS = (ROOT / "gen" / "chronos.binpb").read_bytes()
CONTRACT = read_contract(DESCRIPTORS)


def test_an_rpc_has_its_options() -> None:
    trigger = next(rpc for rpc in CONTRACT.rpcs if rpc.path == "/chronos.scheduler.v1.JobService/TriggerJob")
    assert (trigger.owner, trigger.permission, trigger.rate_class) == ("scheduler", "job:trigger", RateClass.TRIGGER)
    assert [rule.template for rule in trigger.rules] == [
        "/api/v1/jobs/{id}/trigger",
        "/api/v1/namespaces/{namespace}/jobs/{id}/trigger",
    ]


def test_internal_rpcs_are_not_public() -> None:
    services = {rpc.service for rpc in CONTRACT.public_rpcs}
    assert "chronos.history.v1.LedgerService" not in services
    assert "chronos.dispatcher.v1.DeliveryService" not in services


def test_a_template_is_a_pattern_of_whole_paths() -> None:
    rule = HttpRule(verb="GET", template="/api/v1/jobs/{id}/versions", body="")
    assert rule.variables == ("id",)
    assert rule.pattern == "/api/v1/jobs/[^/]+/versions"


def test_a_template_that_cannot_be_routed_is_refused() -> None:
    files = FileDescriptorSet.FromString(DESCRIPTORS)
    file = next(file for file in files.file if file.name.endswith("job_service.proto"))
    file.service[0].method[0].options.Extensions[annotations_pb2.http].post = "/api/{name=jobs/*}"
    with pytest.raises(ValueError, match="only literal segments"):
        read_contract(files.SerializeToString())
