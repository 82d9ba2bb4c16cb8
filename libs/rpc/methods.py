"""What each RPC demands, read once from its descriptor: permission, who may call, where its namespace is."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from chronos.options.v1 import options_pb2
from google.api import annotations_pb2
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message

from libs.faults import InvalidArgument
from libs.names import DEFAULT_NAMESPACE

NAMESPACE = "namespace"
WHOLE_REQUEST = "*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """One RPC. `body_field` is the request field that is the body over REST, empty when there is no such field.

    `namespace_of` gives the namespace of a request, empty when requests have none; it raises InvalidArgument when the
    request and the resource in it name different ones.
    """

    path: str
    service: str
    name: str
    permission: str
    is_public: bool
    is_internal: bool
    has_request_stream: bool
    has_response_stream: bool
    body_field: str
    namespace_of: Callable[[Message], str]


def read_methods(service: str) -> dict[str, Method]:
    """The RPCs of a proto service by path. Raises ValueError for one that does not say who may call it."""
    try:
        descriptor = descriptor_pool.Default().FindServiceByName(service)
    except KeyError as error:
        raise ValueError(f"there is no proto service {service}; is its generated module imported?") from error
    methods = [_read(method) for method in descriptor.methods]
    return {method.path: method for method in methods}


def _read(descriptor: MethodDescriptor) -> Method:
    options = descriptor.GetOptions()
    access = options.Extensions[options_pb2.access]
    body = options.Extensions[annotations_pb2.http].body
    method = Method(
        path=f"/{descriptor.containing_service.full_name}/{descriptor.name}",
        service=descriptor.containing_service.full_name,
        name=descriptor.name,
        permission=access.permission,
        is_public=access.is_public,
        is_internal=access.is_internal,
        has_request_stream=descriptor.client_streaming,
        has_response_stream=descriptor.server_streaming,
        body_field="" if body == WHOLE_REQUEST else body,
        namespace_of=_namespace_reader(descriptor.input_type),
    )
    if [bool(method.permission), method.is_public, method.is_internal].count(True) != 1:
        raise ValueError(f"{method.path}: needs exactly one of permission, is_public and is_internal")
    if method.has_request_stream and method.permission:
        raise ValueError(f"{method.path}: a stream of requests cannot be checked against namespaces")
    return method


def _namespace_reader(request: Descriptor) -> Callable[[Message], str]:
    is_direct = _has_namespace(request)
    resources = tuple(field.name for field in _resources(request))
    if not is_direct and not resources:
        return lambda _: ""

    def read(request: Message) -> str:
        namespace: str = getattr(request, NAMESPACE) if is_direct else ""
        for resource in resources:
            inner: str = getattr(getattr(request, resource), NAMESPACE)
            if namespace and inner and inner != namespace:
                raise InvalidArgument.of(
                    NAMESPACE, f'is "{inner}" in {resource} but "{namespace}" in the request; name the same one'
                )
            namespace = namespace or inner
        return namespace or DEFAULT_NAMESPACE

    return read


def _resources(request: Descriptor) -> Iterator[FieldDescriptor]:
    for field in request.fields:
        if field.message_type is not None and not field.is_repeated and _has_namespace(field.message_type):
            yield field


def _has_namespace(message: Descriptor) -> bool:
    field = message.fields_by_name.get(NAMESPACE)
    return field is not None and field.type == FieldDescriptor.TYPE_STRING and not field.is_repeated
