"""What the gateway can be told."""

from datetime import timedelta
from pathlib import Path

from pydantic import Field

from libs.settings import ServiceSettings

GENERATED = Path(__file__).resolve().parents[2] / "gen"


class GatewaySettings(ServiceSettings):
    """Settings of the gateway."""

    http_listen: str = "127.0.0.1:0"
    """`host:port` for Envoy's questions, `/health`, `/metrics` and `/openapi.json`; port 0 takes a free one."""
    descriptor_file: Path = GENERATED / "chronos.binpb"
    """The contract, as `make gen` writes it."""
    openapi_file: Path = GENERATED / "openapi.json"
    """The OpenAPI document, as `make gen` writes it."""
    expected_services: tuple[str, ...] = ()
    """Services without which the cluster is not healthy. Empty means all that have RPCs in the contract."""
    watermark_tolerance: timedelta = Field(default=timedelta(seconds=10), gt=timedelta(0))
    """How far the ledger may be behind before that counts as a problem."""
    health_freshness: timedelta = Field(default=timedelta(seconds=1), ge=timedelta(0))
    """How old the state behind `/health` and `/metrics` may be: anybody may ask, and each look reads etcd."""
    scrape_timeout: timedelta = Field(default=timedelta(seconds=2), gt=timedelta(0))
    """Longest wait for the metrics of one replica."""
    lame_duck: timedelta = Field(default=timedelta(milliseconds=1500), ge=timedelta(0))
    """How long a stopping gateway goes on answering, so that Envoy's health check sees it first."""
