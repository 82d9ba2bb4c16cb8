"""The RPC edge of schedules: checks, previews, forecasts."""

from datetime import datetime, timedelta
from typing import Any

import grpc
from chronos.scheduler.v1 import schedule_service_pb2, schedule_service_pb2_grpc

from libs.names import DEFAULT_NAMESPACE
from services.scheduler.convert.firing import instant
from services.scheduler.timing.forecasts import Forecasts
from services.scheduler.timing.previews import Previews

Context = grpc.aio.ServicerContext[Any, Any]
ForecastRequest = schedule_service_pb2.GetForecastRequest | schedule_service_pb2.GetNamespaceForecastRequest


class ScheduleServicer(schedule_service_pb2_grpc.ScheduleServiceServicer):
    """chronos.scheduler.v1.ScheduleService."""

    def __init__(self, previews: Previews, forecasts: Forecasts) -> None:
        self._previews = previews
        self._forecasts = forecasts

    async def ValidateSchedule(
        self, request: schedule_service_pb2.ValidateScheduleRequest, context: Context
    ) -> schedule_service_pb2.ValidateScheduleResponse:
        """See the proto."""
        return await self._previews.validate(request)

    async def ListNextRuns(
        self, request: schedule_service_pb2.ListNextRunsRequest, context: Context
    ) -> schedule_service_pb2.ListNextRunsResponse:
        """See the proto."""
        runs, note = await self._previews.next_runs(
            request.namespace, request.id, count=request.count, after=_moment(request, "from")
        )
        return schedule_service_pb2.ListNextRunsResponse(next_runs=runs, note=note)

    async def GetForecast(
        self, request: schedule_service_pb2.GetForecastRequest, context: Context
    ) -> schedule_service_pb2.Forecast:
        """See the proto."""
        return await self._forecasts.of_cluster(_moment(request, "from"), _moment(request, "to"), _step(request))

    async def GetNamespaceForecast(
        self, request: schedule_service_pb2.GetNamespaceForecastRequest, context: Context
    ) -> schedule_service_pb2.Forecast:
        """See the proto."""
        return await self._forecasts.of_namespace(
            request.namespace or DEFAULT_NAMESPACE,
            _moment(request, "from"),
            _moment(request, "to"),
            _step(request),
        )


def _moment(request: ForecastRequest | schedule_service_pb2.ListNextRunsRequest, name: str) -> datetime | None:
    return instant(getattr(request, name)) if request.HasField(name) else None  # type: ignore[arg-type]


def _step(request: ForecastRequest) -> timedelta | None:
    return request.step.ToTimedelta() if request.HasField("step") else None
