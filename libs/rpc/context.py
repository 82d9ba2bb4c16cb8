"""Who is calling, and what about: the facts of the call that is being answered."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

ANY = "*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who makes a call, and what they may do. Permissions are `job:read`, `job:*` or `*`."""

    id: str
    name: str
    permissions: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()

    def has_permission(self, permission: str) -> bool:
        """Whether the principal may do `permission` (`resource:verb`) somewhere."""
        resource = permission.partition(":")[0]
        return ANY in self.permissions or permission in self.permissions or f"{resource}:*" in self.permissions

    def has_namespace(self, namespace: str) -> bool:
        """Whether the principal may do what it may do in `namespace`."""
        return ANY in self.namespaces or namespace in self.namespaces


ANYBODY = Principal(id="", name="anybody")
MESH = Principal(id="mesh", name="a service of this mesh")


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestContext:
    """One call. `namespace` is empty where the request has none; `traceparent` where the caller sent none."""

    request_id: str
    method: str = ""
    peer: str = ""
    traceparent: str = ""
    principal: Principal = ANYBODY
    namespace: str = ""


_current: ContextVar[RequestContext] = ContextVar("request_context")


def current() -> RequestContext:
    """The call that is being answered. Raises LookupError outside of one."""
    return _current.get()


def enter(context: RequestContext) -> None:
    """Makes `context` the current one for the rest of this task."""
    _current.set(context)


@contextmanager
def scope(context: RequestContext) -> Iterator[RequestContext]:
    """Makes `context` the current one for a block."""
    token = _current.set(context)
    try:
        yield context
    finally:
        _current.reset(token)
