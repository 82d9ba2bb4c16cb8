"""The RPC edge of namespaces."""

from typing import Any

import grpc
from chronos.scheduler.v1 import namespace_pb2, namespace_service_pb2, namespace_service_pb2_grpc

from libs.rpc import context as calls
from services.scheduler.namespaces import Namespaces
from services.scheduler.servicer.policy_warnings import tells_warnings

Context = grpc.aio.ServicerContext[Any, Any]


class NamespaceServicer(namespace_service_pb2_grpc.NamespaceServiceServicer):
    """chronos.scheduler.v1.NamespaceService."""

    def __init__(self, namespaces: Namespaces) -> None:
        self._namespaces = namespaces

    async def CreateNamespace(
        self, request: namespace_service_pb2.CreateNamespaceRequest, context: Context
    ) -> namespace_pb2.Namespace:
        """See the proto."""
        principal = calls.current().principal
        return await self._namespaces.create(
            request.definition, validate_only=request.validate_only, principal=principal
        )

    async def GetNamespace(
        self, request: namespace_service_pb2.GetNamespaceRequest, context: Context
    ) -> namespace_pb2.Namespace:
        """See the proto."""
        return await self._namespaces.get(request.namespace)

    async def ListNamespaces(
        self, request: namespace_service_pb2.ListNamespacesRequest, context: Context
    ) -> namespace_service_pb2.ListNamespacesResponse:
        """See the proto."""
        namespaces, token = await self._namespaces.list(
            size=request.page_size, token=request.page_token, principal=calls.current().principal
        )
        return namespace_service_pb2.ListNamespacesResponse(namespaces=namespaces, next_page_token=token)

    @tells_warnings
    async def ReplaceNamespace(
        self, request: namespace_service_pb2.ReplaceNamespaceRequest, context: Context
    ) -> namespace_pb2.Namespace:
        """See the proto."""
        author = calls.current().principal.id
        return await self._namespaces.replace(
            request.namespace, request.definition, validate_only=request.validate_only, author=author
        )

    @tells_warnings
    async def DeleteNamespace(
        self, request: namespace_service_pb2.DeleteNamespaceRequest, context: Context
    ) -> namespace_service_pb2.DeleteNamespaceResponse:
        """See the proto."""
        await self._namespaces.delete(request.namespace, etag=request.etag)
        return namespace_service_pb2.DeleteNamespaceResponse(id=request.namespace)
