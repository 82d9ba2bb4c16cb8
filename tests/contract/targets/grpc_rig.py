"""A sender of gRPC calls, and calls for it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import trustme
from chronos.scheduler.v1 import grpc_target_pb2

from libs.clock import SystemClock
from services.dispatcher.adapters.checked_addresses import Addresses, AnyAddress
from services.dispatcher.adapters.grpc_sender import GrpcSender, open_grpc_sender
from services.dispatcher.convert_targets.grpc import read_grpc
from services.dispatcher.domain.contract import Contract
from services.dispatcher.domain.facts import Facts
from services.dispatcher.domain.results import Failure, Reply
from services.dispatcher.domain.targets.grpc import GrpcPlan, GrpcRequest
from tests.servers.orders import PLACE

LIMIT = 1024
FACTS = Facts(
    job_id="report",
    job_name='Büro "report"',
    namespace="default",
    execution_id="e-1",
    scheduled_time=datetime(2026, 1, 1, 12, 0, tzinfo=UTC),
    attempt=2,
    traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00",
    sent_at=datetime(2026, 1, 1, 12, 0, 1, tzinfo=UTC),
)


def plan_of(
    address: str, method: str = PLACE, *, timeout_s: float = 10, contract: Contract | None = None, **target: Any
) -> GrpcPlan:
    message = grpc_target_pb2.GrpcTarget(address=address, method=method, **target)
    return read_grpc(message, timeout=timedelta(seconds=timeout_s), contract=contract or Contract())


def request_of(address: str, method: str = PLACE, *, facts: Facts = FACTS, **options: Any) -> GrpcRequest:
    return plan_of(address, method, **options).request(facts)


@asynccontextmanager
async def open_sender(addresses: Addresses | None = None, **options: Any) -> AsyncIterator[GrpcSender]:
    clock = SystemClock()
    async with open_grpc_sender(addresses or AnyAddress(), clock, max_response_bytes=LIMIT, **options) as sender:
        yield sender


async def reply_of(sender: GrpcSender, request: GrpcRequest) -> Reply:
    result = await sender.send(request)
    assert isinstance(result, Reply), result
    return result


async def failure_of(sender: GrpcSender, request: GrpcRequest) -> Failure:
    result = await sender.send(request)
    assert isinstance(result, Failure), result
    return result


def pem_of(leaf: trustme.LeafCert) -> tuple[str, str]:
    """Private key and chain."""
    return leaf.private_key_pem.bytes().decode(), "".join(part.bytes().decode() for part in leaf.cert_chain_pems)


def server_credentials(leaf: trustme.LeafCert, clients: trustme.CA | None = None) -> grpc.ServerCredentials:
    """With `clients`, only those with a certificate of that authority may come."""
    key, chain = pem_of(leaf)
    return grpc.ssl_server_credentials(
        [(key.encode(), chain.encode())],
        root_certificates=clients.cert_pem.bytes() if clients is not None else None,
        require_client_auth=clients is not None,
    )
