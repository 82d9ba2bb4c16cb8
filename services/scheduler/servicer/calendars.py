"""The RPC edge of calendars."""

from typing import Any

import grpc
from chronos.scheduler.v1 import calendar_pb2, calendar_service_pb2, calendar_service_pb2_grpc

from libs.rpc import context as calls
from services.scheduler.servicer.policy_warnings import tells_warnings
from services.scheduler.timing.calendars import Calendars

Context = grpc.aio.ServicerContext[Any, Any]


class CalendarServicer(calendar_service_pb2_grpc.CalendarServiceServicer):
    """chronos.scheduler.v1.CalendarService."""

    def __init__(self, calendars: Calendars) -> None:
        self._calendars = calendars

    async def CreateCalendar(
        self, request: calendar_service_pb2.CreateCalendarRequest, context: Context
    ) -> calendar_pb2.Calendar:
        """See the proto."""
        return await self._calendars.create(
            request.calendar, namespace=request.namespace, validate_only=request.validate_only, author=_author()
        )

    async def GetCalendar(
        self, request: calendar_service_pb2.GetCalendarRequest, context: Context
    ) -> calendar_pb2.Calendar:
        """See the proto."""
        return await self._calendars.get(request.namespace, request.id)

    async def ListCalendars(
        self, request: calendar_service_pb2.ListCalendarsRequest, context: Context
    ) -> calendar_service_pb2.ListCalendarsResponse:
        """See the proto."""
        found, token = await self._calendars.list(request.namespace, size=request.page_size, token=request.page_token)
        return calendar_service_pb2.ListCalendarsResponse(calendars=found, next_page_token=token)

    @tells_warnings
    async def ReplaceCalendar(
        self, request: calendar_service_pb2.ReplaceCalendarRequest, context: Context
    ) -> calendar_pb2.Calendar:
        """See the proto."""
        return await self._calendars.replace(
            request.namespace, request.id, request.calendar, validate_only=request.validate_only, author=_author()
        )

    @tells_warnings
    async def DeleteCalendar(
        self, request: calendar_service_pb2.DeleteCalendarRequest, context: Context
    ) -> calendar_service_pb2.DeleteCalendarResponse:
        """See the proto."""
        await self._calendars.delete(request.namespace, request.id, etag=request.etag)
        return calendar_service_pb2.DeleteCalendarResponse(id=request.id)

    @tells_warnings
    async def ImportCalendar(
        self, request: calendar_service_pb2.ImportCalendarRequest, context: Context
    ) -> calendar_pb2.Calendar:
        """See the proto."""
        return await self._calendars.import_file(
            request.namespace,
            request.id,
            icalendar=request.icalendar,
            merge=request.merge,
            name=request.name,
            author=_author(),
        )


def _author() -> str:
    return calls.current().principal.id
