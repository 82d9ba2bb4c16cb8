"""Envoy's configuration, as text; what it does is in tests/contract/test_edge.py."""

from dataclasses import replace
from typing import Any

import pytest
import yaml
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from deploy.envoy.arguments import read_topology
from deploy.envoy.render import parse_address, render, rest_routes, without_comments
from deploy.envoy.topology import DESCRIPTOR_FILE, EdgeTopology, RateLimit
from libs.contract import RateClass, read_contract

TOPOLOGY = EdgeTopology(
    descriptor_set=DESCRIPTOR_FILE.read_bytes(),
    services={
        "scheduler": ["127.0.0.1:8180", "127.0.0.1:8182"],
        "history": ["127.0.0.1:8380"],
        "gateway": ["127.0.0.1:8480"],
        "dispatcher": ["127.0.0.1:8280"],
        "policy": ["127.0.0.1:8580"],
    },
    gateway_http=["127.0.0.1:8482"],
)


def config(topology: EdgeTopology = TOPOLOGY) -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load(render(topology))
    return read


def connection_manager(read: dict[str, Any]) -> dict[str, Any]:
    chain = read["static_resources"]["listeners"][0]["filter_chains"][0]
    found: dict[str, Any] = chain["filters"][0]["typed_config"]
    return found


def http_filter(read: dict[str, Any], name: str) -> dict[str, Any]:
    return next(one for one in connection_manager(read)["http_filters"] if one["name"].endswith(name))


def test_the_same_topology_gives_the_same_text() -> None:
    assert render(TOPOLOGY) == render(TOPOLOGY)


def test_only_services_with_public_rpcs_are_upstream() -> None:
    names = [cluster["name"] for cluster in config()["static_resources"]["clusters"]]
    assert names == ["dispatcher", "gateway", "history", "policy", "scheduler", "gateway_http"]


def test_every_replica_is_an_endpoint() -> None:
    scheduler = next(one for one in config()["static_resources"]["clusters"] if one["name"] == "scheduler")
    endpoints = scheduler["load_assignment"]["endpoints"][0]["lb_endpoints"]
    ports = [one["endpoint"]["address"]["socket_address"]["port_value"] for one in endpoints]
    assert ports == [8180, 8182]


def test_a_service_without_replicas_can_be_rendered() -> None:
    read = config(replace(TOPOLOGY, services={**TOPOLOGY.services, "history": []}))
    history = next(one for one in read["static_resources"]["clusters"] if one["name"] == "history")
    assert history["load_assignment"]["endpoints"][0]["lb_endpoints"] == []


def test_a_service_that_is_not_named_at_all_is_an_error() -> None:
    with pytest.raises(ValueError, match="no addresses for history"):
        render(replace(TOPOLOGY, services={"scheduler": [], "gateway": [], "dispatcher": [], "policy": []}))


def test_internal_services_have_no_route() -> None:
    text = render(TOPOLOGY)
    assert "LedgerService" not in text
    assert "DeliveryService" not in text
    assert "policy.v1.DecisionService" not in text


def test_circuit_breakers_are_asked_of_a_dispatcher() -> None:
    routes = [route for route in rest_routes(read_contract(TOPOLOGY.descriptor_set)) if "circuit" in route.pattern]
    assert [(route.cluster, route.verb) for route in routes] == [("dispatcher", "GET")]


def test_policies_are_kept_by_policy_and_tried_by_the_scheduler() -> None:
    routes = [route for route in rest_routes(read_contract(TOPOLOGY.descriptor_set)) if "/policies" in route.pattern]
    owners = {route.path.rpartition("/")[2]: route.cluster for route in routes}
    assert {call for call, owner in owners.items() if owner == "scheduler"} == {"EvaluatePolicies", "DryRunPolicy"}
    assert {owner for call, owner in owners.items() if call not in ("EvaluatePolicies", "DryRunPolicy")} == {"policy"}


def test_only_calls_that_may_have_a_body_are_checked() -> None:
    checked = {(route.verb, route.is_checked) for route in rest_routes(read_contract(TOPOLOGY.descriptor_set))}
    assert checked == {("GET", False), ("POST", True), ("PUT", True), ("PATCH", True), ("DELETE", True)}


def test_the_last_route_of_a_path_knows_what_the_path_takes() -> None:
    routes = list(rest_routes(read_contract(TOPOLOGY.descriptor_set)))
    assert [route.allow for route in routes if route.pattern == "/api/v1/jobs"] == ["", "GET, POST"]


def test_limits_are_those_of_the_topology() -> None:
    limits = {**TOPOLOGY.limits, RateClass.TRIGGER: RateLimit(per_second=3, burst=7)}
    descriptors = http_filter(config(replace(TOPOLOGY, limits=limits)), "local_ratelimit")["typed_config"][
        "descriptors"
    ]
    trigger = next(one for one in descriptors if one["entries"][0].get("value") == "TRIGGER")
    assert trigger["token_bucket"] == {"max_tokens": 7, "tokens_per_fill": 3, "fill_interval": "1s"}


@pytest.mark.parametrize(("per_second", "burst"), [(0, 1), (5, 4), (-1, 1)])
def test_a_limit_that_nobody_could_mean_is_refused(per_second: int, burst: int) -> None:
    with pytest.raises(ValueError, match="rate limit"):
        RateLimit(per_second=per_second, burst=burst)


def test_without_origins_there_is_no_cors() -> None:
    (host,) = connection_manager(config())["route_config"]["virtual_hosts"]
    assert "typed_per_filter_config" not in host


def test_comments_do_not_travel() -> None:
    files = FileDescriptorSet.FromString(without_comments(TOPOLOGY.descriptor_set)).file
    assert not any(file.HasField("source_code_info") for file in files)


@pytest.mark.parametrize(
    ("text", "host", "port"), [("127.0.0.1:80", "127.0.0.1", 80), ("[::1]:80", "::1", 80), ("edge:0", "edge", 0)]
)
def test_an_address_is_host_and_port(text: str, host: str, port: int) -> None:
    assert (parse_address(text).host, parse_address(text).port) == (host, port)


@pytest.mark.parametrize("text", ["", "localhost", ":80", "a:b", "a:70000"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not host:port"):
        parse_address(text)


def test_without_arguments_the_configuration_is_that_for_kubernetes() -> None:
    read = config(read_topology([]))
    scheduler = next(one for one in read["static_resources"]["clusters"] if one["name"] == "scheduler")
    assert scheduler["cluster_type"]["name"] == "envoy.cluster.dns"
    dispatcher = next(one for one in read["static_resources"]["clusters"] if one["name"] == "dispatcher")
    address = dispatcher["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]["socket_address"]
    assert (address["address"], address["port_value"]) == ("chronos-dispatcher", 9000)
    assert read["static_resources"]["listeners"][0]["address"]["socket_address"]["address"] == "0.0.0.0"
    assert read["admin"]["address"]["socket_address"]["address"] == "127.0.0.1"


def test_arguments_change_limits_tls_and_origins() -> None:
    arguments = "--limit READ=5/10 --limit ADDRESS=7/9 --cert c.pem --key k.pem --cors-origin https://a --static"
    topology = read_topology([*arguments.split(), "--service", "scheduler=10.0.0.1:1,10.0.0.2:1"])
    assert topology.limits[RateClass.READ] == RateLimit(per_second=5, burst=10)
    assert topology.address_limit == RateLimit(per_second=7, burst=9)
    assert topology.services["scheduler"] == ["10.0.0.1:1", "10.0.0.2:1"]
    assert "c.pem" in render(topology)
    assert "https://a" in render(topology)


@pytest.mark.parametrize(
    "arguments", ["--cert c.pem", "--mesh-ca ca.pem", "--limit READ=5", "--limit NONE=1/2", "--service x"]
)
def test_wrong_arguments_are_refused(arguments: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        read_topology(arguments.split())
    assert caught.value.code == 2
    assert "error:" in capsys.readouterr().err
