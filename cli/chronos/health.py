"""Asks processes how they are, live."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta

from cli.chronos.state import Probe, ProbeKind

PATIENCE = timedelta(seconds=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """`detail` is `serving`, or what is wrong."""

    is_healthy: bool
    detail: str


async def check(probe: Probe, *, patience: timedelta = PATIENCE) -> Health:
    """The health of a process within `patience`. Never raises."""
    try:
        async with asyncio.timeout(patience.total_seconds()):
            match probe.kind:
                case ProbeKind.GRPC:
                    return await _grpc_health(probe.address)
                case ProbeKind.HTTP:
                    return await http_health(f"http://{probe.address}{probe.path}")
    except TimeoutError:
        return Health(is_healthy=False, detail=f"no answer within {patience.total_seconds():g} s")


async def http_health(url: str) -> Health:
    """Healthy when a GET answers 200. Asks directly, whatever proxy the environment names."""
    import httpx

    try:
        async with httpx.AsyncClient(trust_env=False, verify=False) as client:
            answer = await client.get(url)
    except httpx.TransportError as error:
        return Health(is_healthy=False, detail=str(error) or type(error).__name__)
    if answer.status_code == httpx.codes.OK:
        return Health(is_healthy=True, detail="serving")
    return Health(is_healthy=False, detail=f"answers {answer.status_code}")


async def _grpc_health(address: str) -> Health:
    import grpc
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    options = [("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.insecure_channel(address, options=options) as channel:
        try:
            answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        except grpc.aio.AioRpcError as error:
            return Health(is_healthy=False, detail=error.code().name.lower())
    status = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
    return Health(is_healthy=answer.status == health_pb2.HealthCheckResponse.SERVING, detail=status.lower())
