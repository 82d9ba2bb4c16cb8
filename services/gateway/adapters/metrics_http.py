"""Reads replicas' metrics over HTTP."""

from datetime import timedelta

import httpx

from libs.faults import Unavailable

LARGEST_PAGE_BYTES = 8 * 1024 * 1024


class HttpMetricsReader:
    """See MetricsReader. A page that is not there within `timeout` counts as unavailable."""

    def __init__(self, client: httpx.AsyncClient, timeout: timedelta) -> None:
        self._client = client
        self._timeout = timeout.total_seconds()

    async def read(self, address: str) -> str:
        """See MetricsReader."""
        try:
            response = await self._client.get(f"http://{address}/metrics", timeout=self._timeout)
            response.raise_for_status()
        except httpx.HTTPError as error:
            raise Unavailable(f"{address} gives no metrics: {error!r}") from error
        if len(response.content) > LARGEST_PAGE_BYTES:
            raise Unavailable(f"{address} gives more than {LARGEST_PAGE_BYTES} bytes of metrics")
        return response.text
