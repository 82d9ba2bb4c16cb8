"""The gateway's HTTP side."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from starlette.websockets import WebSocket

from libs.contract import read_contract
from libs.etcd import keys
from libs.faults import Unavailable
from services.gateway.adapters.body_rules import read_bodies
from services.gateway.http import LARGEST_BODY_BYTES, GatewayHttp
from services.gateway.metrics_page import MetricsPage
from services.gateway.settings import GatewaySettings
from tests.component.gateway.clusters import START, add_member, add_well_cluster, clusters_of
from tests.fakes.clock import FakeClock
from tests.fakes.etcd import FakeEtcd

BODIES = read_bodies(read_contract(GatewaySettings.model_fields["descriptor_file"].default.read_bytes()))
JSON = {"content-type": "application/json", "x-request-id": "r-1"}


class FakeMetrics:
    """Serves the pages that it is given."""

    def __init__(self) -> None:
        self.pages: dict[str, str] = {}

    async def read(self, address: str) -> str:
        if address not in self.pages:
            raise Unavailable(f"{address} gives no metrics")
        return self.pages[address]


async def no_socket(websocket: WebSocket) -> None:
    await websocket.close()


class Gateway:
    """The application with fakes behind it."""

    def __init__(self) -> None:
        self.clock = FakeClock(START)
        self.etcd = FakeEtcd(self.clock)
        self.metrics = FakeMetrics()
        self.is_live = True
        clusters = clusters_of(self.etcd, self.clock)
        page = MetricsPage(
            clusters=clusters,
            reader=self.metrics,
            own_page=lambda: "own_metric 1\n",
            replica="gateway-0",
            instance="gateway-0-x",
            freshness=timedelta(seconds=1),
        )
        http = GatewayHttp(
            bodies=BODIES,
            clusters=clusters,
            metrics=page,
            openapi=b'{"openapi": "3.1.0"}',
            is_live=lambda: self.is_live,
            serve_socket=no_socket,
            health_freshness=timedelta(seconds=1),
        )
        self.client = httpx.AsyncClient(transport=httpx.ASGITransport(http.app()), base_url="http://gateway")


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    made = Gateway()
    async with made.client:
        yield made


async def check(gateway: Gateway, body: bytes, path: str = "/api/v1/jobs", **headers: str) -> httpx.Response:
    return await gateway.client.post(f"/strict-json{path}", content=body, headers={**JSON, **headers})


def details(answer: httpx.Response) -> dict[str, Any]:
    return {detail["@type"].rpartition(".")[2]: detail for detail in answer.json()["details"]}


async def test_a_good_body_may_go_on(gateway: Gateway) -> None:
    answer = await check(gateway, b'{"name": "x"}', "/api/v1/jobs?validate_only=true")
    assert (answer.status_code, answer.content) == (200, b"")


async def test_a_bad_body_gets_a_status_with_its_fields(gateway: Gateway) -> None:
    answer = await check(gateway, b'{"timezon": "UTC"}')
    said = "unknown field `timezon`; did you mean `timezone`?"
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/json"
    assert (answer.json()["code"], answer.json()["message"]) == (3, f"timezon: {said}")
    assert details(answer)["BadRequest"]["field_violations"] == [{"field": "timezon", "description": said}]
    assert details(answer)["ErrorInfo"]["reason"] == "INVALID_ARGUMENT"
    assert details(answer)["ErrorInfo"]["metadata"] == {"request_id": "r-1"}


async def test_a_body_that_is_not_marked_as_json_is_an_unsupported_media_type(gateway: Gateway) -> None:
    answer = await check(gateway, b"{}", **{"content-type": "text/plain"})
    assert (answer.status_code, answer.json()["code"]) == (415, 3)


async def test_a_call_that_is_not_in_the_contract_is_not_found(gateway: Gateway) -> None:
    assert (await check(gateway, b"{}", "/api/v1/nothing")).status_code == 404


async def test_an_escaped_slash_does_not_become_a_segment(gateway: Gateway) -> None:
    assert (await check(gateway, b"{}", "/api/v1/jobs/a%2Fb/trigger")).status_code == 200


async def test_a_body_without_end_is_cut_off(gateway: Gateway) -> None:
    answer = await check(gateway, b" " * (LARGEST_BODY_BYTES + 1))
    assert (answer.status_code, answer.json()["code"]) == (413, 8)


async def test_text_that_is_no_text_is_told_as_such(gateway: Gateway) -> None:
    answer = await check(gateway, rb'{"\ud800": 1}')
    assert (answer.status_code, answer.json()["code"]) == (400, 3)


async def test_a_well_cluster_is_healthy(gateway: Gateway) -> None:
    await add_well_cluster(gateway.etcd)
    answer = await gateway.client.get("/health")
    assert (answer.status_code, answer.json()) == (200, {"status": "healthy", "problems": []})


async def test_a_cluster_with_problems_is_not(gateway: Gateway) -> None:
    await add_well_cluster(gateway.etcd)
    await gateway.etcd.delete(keys.member("history", "history-0-x"))
    answer = await gateway.client.get("/health")
    assert answer.status_code == 503
    assert answer.json() == {"status": "unhealthy", "problems": ["no replica of history is running"]}


async def test_without_etcd_the_cluster_is_not_healthy(gateway: Gateway) -> None:
    gateway.etcd.is_away = True
    answer = await gateway.client.get("/health")
    assert answer.status_code == 503
    assert "etcd does not answer" in answer.json()["problems"][0]


async def test_asking_often_does_not_read_etcd_each_time(gateway: Gateway) -> None:
    await add_well_cluster(gateway.etcd)
    await gateway.client.get("/health")
    gateway.etcd.is_away = True
    assert (await gateway.client.get("/health")).status_code == 200
    await gateway.clock.advance(timedelta(seconds=2))
    assert (await gateway.client.get("/health")).status_code == 503


async def test_a_gateway_is_live_until_it_drains(gateway: Gateway) -> None:
    assert (await gateway.client.get("/live")).status_code == 200
    gateway.is_live = False
    assert (await gateway.client.get("/live")).status_code == 503


async def test_the_metrics_of_all_replicas_are_on_one_page(gateway: Gateway) -> None:
    await add_member(gateway.etcd, "gateway", "127.0.0.1:9")
    await add_member(gateway.etcd, "history", "127.0.0.1:1")
    await add_member(gateway.etcd, "scheduler", "127.0.0.1:2")
    await add_member(gateway.etcd, "dispatcher", "127.0.0.1:3")
    gateway.metrics.pages = {"127.0.0.1:1": "# TYPE chronos_x gauge\nchronos_x 4\n", "127.0.0.1:3": "what{"}
    page = (await gateway.client.get("/metrics")).text
    assert 'chronos_x{replica="history-0",service="history"} 4.0' in page
    assert 'own_metric{replica="gateway-0",service="gateway"} 1.0' in page
    up = {line for line in page.splitlines() if line.startswith("chronos_up{")}
    assert up == {
        'chronos_up{replica="dispatcher-0",service="dispatcher"} 0.0',
        'chronos_up{replica="gateway-0",service="gateway"} 1.0',
        'chronos_up{replica="history-0",service="history"} 1.0',
        'chronos_up{replica="scheduler-0",service="scheduler"} 0.0',
    }


async def test_without_etcd_the_metrics_are_those_of_the_gateway(gateway: Gateway) -> None:
    gateway.etcd.is_away = True
    assert "own_metric" in (await gateway.client.get("/metrics")).text


async def test_the_openapi_document_is_served(gateway: Gateway) -> None:
    answer = await gateway.client.get("/openapi.json")
    assert (answer.headers["content-type"], answer.json()) == ("application/json", {"openapi": "3.1.0"})
