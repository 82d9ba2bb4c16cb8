"""Puts the dispatcher together."""

import random
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from functools import partial

from chronos.dispatcher.v1 import circuit_breaker_service_pb2, delivery_service_pb2
from chronos.dispatcher.v1.circuit_breaker_service_pb2_grpc import add_CircuitBreakerServiceServicer_to_server
from chronos.dispatcher.v1.delivery_service_pb2_grpc import add_DeliveryServiceServicer_to_server

from libs.clock import Clock
from libs.mesh import Node, OpenNode, open_node
from libs.process import App
from services.dispatcher.adapters.checked_clients import CheckedClients
from services.dispatcher.adapters.etcd_breakers import BreakerNotices, EtcdBreakerBoard
from services.dispatcher.adapters.http import Clients, HttpSender, SharedClient, client_builder
from services.dispatcher.adapters.ledger import GrpcLedger
from services.dispatcher.breakers import Breakers
from services.dispatcher.convert_breakers import write_breaker
from services.dispatcher.dispatch import Dispatch
from services.dispatcher.domain.addresses import AddressPolicy, parse_networks
from services.dispatcher.ports import Sender
from services.dispatcher.servicer.breakers import BreakerServicer
from services.dispatcher.servicer.deliveries import DeliveryServicer
from services.dispatcher.settings import DispatcherSettings

DELIVERIES = delivery_service_pb2.DESCRIPTOR.services_by_name["DeliveryService"].full_name
BREAKERS = circuit_breaker_service_pb2.DESCRIPTOR.services_by_name["CircuitBreakerService"].full_name
STOP_GRACE = timedelta(seconds=1)


OpenSender = Callable[[DispatcherSettings, Clock], AbstractAsyncContextManager[Sender]]


@asynccontextmanager
async def open_sender(settings: DispatcherSettings, clock: Clock) -> AsyncIterator[Sender]:
    """What makes HTTP requests; its connections are closed at the end."""
    sender = HttpSender(
        make_clients(settings, clock),
        max_response_bytes=settings.max_response_bytes,
        longest_response_bytes=settings.longest_response_bytes,
    )
    try:
        yield sender
    finally:
        await sender.close()


@asynccontextmanager
async def open_app(
    settings: DispatcherSettings, enter: OpenNode = open_node, make_sender: OpenSender = open_sender
) -> AsyncIterator[App]:
    """The dispatcher, ready to start."""
    dice = random.Random(random.getrandbits(64))
    async with enter("dispatcher", settings) as node, make_sender(settings, node.clock) as sender:
        histories = node.watch("history")
        dispatch = Dispatch(
            settings,
            sender=sender,
            ledger=GrpcLedger(lambda: [member.address for member in histories.members.values()], node.channel, dice),
            clock=node.clock,
            dice=dice,
            user_agent=f"Chronos/{node.member.version}",
            instance=node.member.instance,
        )
        dispatch.measure()
        servicer = DeliveryServicer(
            dispatch.streams,
            dispatch.intake,
            node.clock,
            interval=settings.event_interval,
            has_room=lambda: dispatch.has_room,
        )
        board = EtcdBreakerBoard(node.etcd)
        notices = breaker_notices(node, dispatch.breakers)
        server = node.server([
            (add_DeliveryServiceServicer_to_server, servicer, DELIVERIES),
            (add_CircuitBreakerServiceServicer_to_server, BreakerServicer(board), BREAKERS),
        ])  # fmt: skip

        async def drain() -> None:
            await node.membership.withdraw()
            await dispatch.drain()
            await server.drain(STOP_GRACE)

        loops = {
            **node.loops, **dispatch.loops, "histories": histories.run, "streams": servicer.run,
            "breaker board": board.run, "breaker notices": notices.run,
        }  # fmt: skip
        yield App(start=lambda: node.start(server), loops=loops, drain=drain)


def breaker_notices(node: Node, breakers: Breakers) -> BreakerNotices:
    """Shows this replica's breakers to all."""

    def own() -> dict[str, bytes]:
        replica = node.member.replica
        return {one.host: write_breaker(one, replica).SerializeToString() for one in breakers.tripped}

    return BreakerNotices(node.etcd, node.lease, node.member.instance, node.clock, own=own, changed=breakers.changed)


def make_clients(settings: DispatcherSettings, clock: Clock) -> Clients:
    """Clients that keep to the policy about private addresses."""
    new_builder = partial(client_builder, max_idle_per_host=settings.max_in_flight, ca_file=settings.ca_file)
    if settings.allow_private_addresses:
        return SharedClient(new_builder())
    return CheckedClients(
        AddressPolicy(allowed_networks=parse_networks(settings.allowed_networks)),
        new_builder,
        clock,
        lifetime=settings.name_lifetime,
        limit=settings.max_pinned_names,
    )
