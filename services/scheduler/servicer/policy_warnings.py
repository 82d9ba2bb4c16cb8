"""Tells callers what policies warn of, beside the answer."""

import json
from collections.abc import Awaitable, Callable, Sequence
from functools import wraps
from typing import Any, TypeVar

import grpc
from chronos.policy.v1 import decision_pb2

from services.scheduler.policies.guard import heard_warnings
from services.scheduler.policies.refusals import named

HEADER = "chronos-policy-warnings"
MOST_BYTES = 2_000
Context = grpc.aio.ServicerContext[Any, Any]
Servicer = TypeVar("Servicer")
Request = TypeVar("Request")
Response = TypeVar("Response")
Method = Callable[[Servicer, Request, Context], Awaitable[Response]]


def tells_warnings(method: "Method[Servicer, Request, Response]") -> "Method[Servicer, Request, Response]":
    """The method of a servicer, with the warnings of its guards in the metadata `chronos-policy-warnings`.

    It comes before the answer, so that over REST it is a header: a JSON list of texts, `policy/rule: message`.
    """

    @wraps(method)
    async def answer(self: Servicer, request: Request, context: Context) -> Response:
        with heard_warnings() as warnings:
            response = await method(self, request, context)
        if warnings:
            await context.send_initial_metadata(((HEADER, as_header(warnings)),))
        return response

    return answer


def as_header(warnings: Sequence[decision_pb2.RuleResult]) -> str:
    """Each warning once, as many as fit into 2,000 bytes; ASCII."""
    texts = list(dict.fromkeys(map(named, warnings)))
    while len(header := json.dumps(texts)) > MOST_BYTES:
        texts.pop()
    return header
