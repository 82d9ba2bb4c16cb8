"""The RPC edge for people and programs that keep policies."""

from typing import Any

import grpc
from chronos.policy.v1 import policy_pb2, policy_service_pb2, policy_service_pb2_grpc

from libs.faults import Forbidden
from libs.rpc import context as calls
from services.policy.policies import Policies

Context = grpc.aio.ServicerContext[Any, Any]


class PolicyServicer(policy_service_pb2_grpc.PolicyServiceServicer):
    """chronos.policy.v1.PolicyService. Policies hold for the whole cluster, so a key needs all namespaces."""

    def __init__(self, policies: Policies) -> None:
        self._policies = policies

    async def CreatePolicy(
        self, request: policy_service_pb2.CreatePolicyRequest, context: Context
    ) -> policy_pb2.Policy:
        """See the proto."""
        author = _author()
        return await self._policies.create(request.policy, validate_only=request.validate_only, author=author)

    async def GetPolicy(self, request: policy_service_pb2.GetPolicyRequest, context: Context) -> policy_pb2.Policy:
        """See the proto."""
        _author()
        return await self._policies.get(request.id)

    async def ListPolicies(
        self, request: policy_service_pb2.ListPoliciesRequest, context: Context
    ) -> policy_service_pb2.ListPoliciesResponse:
        """See the proto."""
        _author()
        found, token = await self._policies.list(size=request.page_size, token=request.page_token)
        return policy_service_pb2.ListPoliciesResponse(policies=found, next_page_token=token)

    async def ReplacePolicy(
        self, request: policy_service_pb2.ReplacePolicyRequest, context: Context
    ) -> policy_pb2.Policy:
        """See the proto."""
        author = _author()
        return await self._policies.replace(
            request.id, request.policy, validate_only=request.validate_only, author=author
        )

    async def DeletePolicy(
        self, request: policy_service_pb2.DeletePolicyRequest, context: Context
    ) -> policy_service_pb2.DeletePolicyResponse:
        """See the proto."""
        _author()
        await self._policies.delete(request.id, etag=request.etag)
        return policy_service_pb2.DeletePolicyResponse(id=request.id)

    async def EnablePolicy(
        self, request: policy_service_pb2.EnablePolicyRequest, context: Context
    ) -> policy_pb2.Policy:
        """See the proto."""
        return await self._policies.enable(request.id, author=_author())

    async def DisablePolicy(
        self, request: policy_service_pb2.DisablePolicyRequest, context: Context
    ) -> policy_pb2.Policy:
        """See the proto."""
        return await self._policies.disable(request.id, author=_author())

    async def ListPolicyVersions(
        self, request: policy_service_pb2.ListPolicyVersionsRequest, context: Context
    ) -> policy_service_pb2.ListPolicyVersionsResponse:
        """See the proto."""
        _author()
        return policy_service_pb2.ListPolicyVersionsResponse(versions=await self._policies.versions(request.id))

    async def RollbackPolicy(
        self, request: policy_service_pb2.RollbackPolicyRequest, context: Context
    ) -> policy_pb2.Policy:
        """See the proto."""
        return await self._policies.rollback(request.id, request.version, author=_author())


def _author() -> str:
    """Who calls. Raises Forbidden for a key that is limited to some namespaces."""
    principal = calls.current().principal
    if not principal.has_namespace(calls.ANY):
        raise Forbidden(
            f'policies hold for the whole cluster, and the API key "{principal.name}" is limited to some namespaces; '
            "use a key for all of them",
            reason="NAMESPACE_FORBIDDEN",
        )
    return principal.id
