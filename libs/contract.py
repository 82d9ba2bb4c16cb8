"""The contract as programs see it: every RPC with its HTTP mapping, permission and rate class.

Read from a descriptor set alone, into a pool of its own: nothing depends on generated code being present or fresh.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any

from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

ACCESS_OPTION = "chronos.options.v1.access"
HTTP_OPTION = "google.api.http"
VERBS = ("get", "put", "post", "delete", "patch")
VARIABLE = re.compile(r"\{([a-z0-9_.]+)\}")


class RateClass(StrEnum):
    """The kinds of traffic that the edge limits separately."""

    READ = "READ"
    WRITE = "WRITE"
    TRIGGER = "TRIGGER"


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRule:
    """One REST spelling of an RPC. `body` names the request field that the body is: `*` all, empty none."""

    verb: str
    template: str
    body: str

    @property
    def variables(self) -> tuple[str, ...]:
        """The request fields that the path gives, in order."""
        return tuple(VARIABLE.findall(self.template))

    @property
    def pattern(self) -> str:
        """The template as a regular expression of a whole path; a variable is one segment that is not empty."""
        return "".join(re.escape(part) if index % 2 == 0 else "[^/]+" for index, part in enumerate(self._parts()))

    @property
    def precedence(self) -> tuple[bool, ...]:
        """Sorts templates so that a literal segment comes before a variable at the same place."""
        return tuple("{" in segment for segment in self.template.split("/"))

    def _parts(self) -> list[str]:
        return VARIABLE.split(self.template)


@dataclass(frozen=True, kw_only=True)
class Rpc:
    """One RPC. `descriptor` belongs to the pool of the contract that it was read into."""

    descriptor: MethodDescriptor
    rules: tuple[HttpRule, ...]
    permission: str
    rate_class: RateClass
    is_public: bool
    is_internal: bool

    @property
    def service(self) -> str:
        """Full name of the proto service."""
        return str(self.descriptor.containing_service.full_name)

    @cached_property
    def path(self) -> str:
        """Path of the call in gRPC."""
        return f"/{self.service}/{self.descriptor.name}"

    @property
    def owner(self) -> str:
        """The Chronos service that answers it: `scheduler` for the package `chronos.scheduler.v1`."""
        return self.service.split(".")[1]


@dataclass(frozen=True, kw_only=True)
class Contract:
    """All RPCs of a descriptor set, ordered by path, and the pool that their types live in."""

    pool: DescriptorPool
    rpcs: tuple[Rpc, ...]

    @property
    def public_rpcs(self) -> tuple[Rpc, ...]:
        """Those that the edge routes: they have an HTTP mapping and are not internal."""
        return tuple(rpc for rpc in self.rpcs if rpc.rules and not rpc.is_internal)

    @property
    def owners(self) -> tuple[str, ...]:
        """The Chronos services that answer RPCs, sorted."""
        return tuple(sorted({rpc.owner for rpc in self.rpcs}))

    @property
    def rest_calls(self) -> tuple[tuple[HttpRule, Rpc], ...]:
        """Every REST spelling of every public RPC, in the order in which paths must be tried."""
        calls = [(rule, rpc) for rpc in self.public_rpcs for rule in rpc.rules]
        return tuple(sorted(calls, key=lambda call: (call[0].precedence, call[0].pattern, call[0].verb)))


def read_contract(descriptor_set: bytes) -> Contract:
    """Reads a serialized FileDescriptorSet that includes its imports. Raises ValueError on what it cannot express."""
    files = FileDescriptorSet.FromString(descriptor_set)
    pool = DescriptorPool()
    for file in files.file:
        pool.Add(file)
    rpcs = [
        _read_rpc(pool, pool.FindMethodByName(f"{file.package}.{service.name}.{method.name}"))
        for file in files.file
        for service in file.service
        for method in service.method
    ]
    return Contract(pool=pool, rpcs=tuple(sorted(rpcs, key=lambda rpc: rpc.path)))


def method_option(pool: DescriptorPool, method: MethodDescriptor, name: str) -> Any:
    """An extension of a method's options as a message, empty where it is not set."""
    options: Any = GetMessageClass(pool.FindMessageTypeByName("google.protobuf.MethodOptions"))
    return options.FromString(method.GetOptions().SerializeToString()).Extensions[pool.FindExtensionByName(name)]


def _read_rpc(pool: DescriptorPool, method: MethodDescriptor) -> Rpc:
    access = method_option(pool, method, ACCESS_OPTION)
    chosen = access.DESCRIPTOR.enum_types_by_name["RateClass"].values_by_number[access.rate_class].name
    return Rpc(
        descriptor=method,
        rules=tuple(_read_rules(method_option(pool, method, HTTP_OPTION))),
        permission=access.permission,
        rate_class=RateClass(chosen) if access.rate_class else RateClass.READ,
        is_public=access.is_public,
        is_internal=access.is_internal,
    )


def _read_rules(rule: Any) -> Iterator[HttpRule]:
    for verb in VERBS:
        if template := getattr(rule, verb):
            if re.search(r"[*{}:]", VARIABLE.sub("", template)):
                raise ValueError(f"{template}: only literal segments and {{field}} are understood")
            yield HttpRule(verb=verb.upper(), template=template, body=rule.body)
    for binding in rule.additional_bindings:
        yield from _read_rules(binding)
