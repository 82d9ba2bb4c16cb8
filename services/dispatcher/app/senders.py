"""The ways out of a dispatcher, one for each protocol."""

import random
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from types import MappingProxyType

from libs.clock import Clock
from services.dispatcher.adapters.checked_addresses import Addresses, AnyAddress, CheckedAddresses
from services.dispatcher.adapters.checked_clients import CheckedClients
from services.dispatcher.adapters.grpc_sender import open_grpc_sender
from services.dispatcher.adapters.http import Clients, HttpSender, SharedClients
from services.dispatcher.adapters.http_clients import client_builder
from services.dispatcher.adapters.kafka import open_kafka_sender
from services.dispatcher.adapters.nats import open_nats_sender
from services.dispatcher.adapters.rabbitmq import open_rabbitmq_sender
from services.dispatcher.adapters.senders import Send, Senders
from services.dispatcher.app.secrets import open_deferred
from services.dispatcher.domain.addresses import AddressPolicy, parse_networks
from services.dispatcher.domain.targets.grpc import GrpcRequest
from services.dispatcher.domain.targets.kafka import KafkaRequest
from services.dispatcher.domain.targets.nats import NatsRequest
from services.dispatcher.domain.targets.plan import Request
from services.dispatcher.domain.targets.rabbitmq import RabbitmqRequest
from services.dispatcher.domain.targets.webhook import HttpRequest
from services.dispatcher.ports import Sender
from services.dispatcher.settings import DispatcherSettings

NOTHING_ELSE: Mapping[type[Request], Send] = MappingProxyType({})


@asynccontextmanager
async def open_senders(
    settings: DispatcherSettings, clock: Clock, others: Mapping[type[Request], Send] = NOTHING_ELSE
) -> AsyncIterator[Sender]:
    """What speaks all protocols; the connections are closed at the end. `others` are those that need the mesh."""
    async with AsyncExitStack() as stack:
        http = HttpSender(
            make_clients(settings, clock),
            max_response_bytes=settings.max_response_bytes,
            longest_response_bytes=settings.longest_response_bytes,
        )
        stack.push_async_callback(http.close)
        addresses, ca_file = make_addresses(settings), settings.ca_file
        kafka = await stack.enter_async_context(open_kafka_sender(addresses, clock, random.Random(), ca_file=ca_file))
        grpc = await stack.enter_async_context(
            open_grpc_sender(
                addresses, clock, max_response_bytes=settings.max_response_bytes, ca_file=ca_file,
                limit=settings.max_pinned_names,
            )
        )  # fmt: skip
        rabbitmq = await stack.enter_async_context(open_rabbitmq_sender(addresses, clock, ca_file=ca_file))
        nats = await stack.enter_async_context(
            open_nats_sender(addresses, clock, max_response_bytes=settings.max_response_bytes, ca_file=ca_file)
        )
        senders = Senders(
            {
                **others,
                HttpRequest: http.send,
                GrpcRequest: grpc.send,
                KafkaRequest: kafka.send,
                NatsRequest: nats.send,
                RabbitmqRequest: rabbitmq.send,
            }
        )
        yield await stack.enter_async_context(open_deferred(settings, senders, clock))


def make_clients(settings: DispatcherSettings, clock: Clock) -> Clients:
    """HTTP clients that keep to the policy about private addresses."""
    new_builder = partial(client_builder, max_idle_per_host=settings.max_in_flight, ca_file=settings.ca_file)
    if settings.allow_private_addresses:
        return SharedClients(new_builder)
    return CheckedClients(
        _policy(settings), new_builder, clock, lifetime=settings.name_lifetime, limit=settings.max_pinned_names
    )


def make_addresses(settings: DispatcherSettings) -> Addresses:
    """Addresses that keep to the same policy, for connections that are not HTTP's."""
    return AnyAddress() if settings.allow_private_addresses else CheckedAddresses(_policy(settings))


def _policy(settings: DispatcherSettings) -> AddressPolicy:
    return AddressPolicy(
        allow_private_addresses=settings.allow_private_addresses,
        allowed_networks=parse_networks(settings.allowed_networks),
    )
