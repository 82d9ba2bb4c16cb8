"""Puts the dispatcher together."""

import random
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from datetime import timedelta
from functools import partial

from chronos.dispatcher.v1 import circuit_breaker_service_pb2, delivery_service_pb2, target_service_pb2
from chronos.dispatcher.v1.circuit_breaker_service_pb2_grpc import add_CircuitBreakerServiceServicer_to_server
from chronos.dispatcher.v1.delivery_service_pb2_grpc import add_DeliveryServiceServicer_to_server
from chronos.dispatcher.v1.target_service_pb2_grpc import add_TargetServiceServicer_to_server

from libs.clock import Clock
from libs.mesh import Node, OpenNode, open_node
from libs.process import App
from services.dispatcher.adapters.etcd_breakers import BreakerNotices, EtcdBreakerBoard
from services.dispatcher.adapters.gateways import Gateways
from services.dispatcher.adapters.ledger import GrpcLedger
from services.dispatcher.adapters.senders import Send
from services.dispatcher.app.senders import open_senders
from services.dispatcher.breakers import Breakers
from services.dispatcher.convert_breakers import write_breaker
from services.dispatcher.convert_trials import read_trial
from services.dispatcher.dispatch import Dispatch
from services.dispatcher.domain.targets.plan import Request
from services.dispatcher.domain.targets.websocket import SocketRequest
from services.dispatcher.ports import Sender
from services.dispatcher.servicer.breakers import BreakerServicer
from services.dispatcher.servicer.deliveries import DeliveryServicer
from services.dispatcher.servicer.targets import TargetServicer
from services.dispatcher.settings import DispatcherSettings
from services.dispatcher.trials import Trials

DELIVERIES = delivery_service_pb2.DESCRIPTOR.services_by_name["DeliveryService"].full_name
BREAKERS = circuit_breaker_service_pb2.DESCRIPTOR.services_by_name["CircuitBreakerService"].full_name
TARGETS = target_service_pb2.DESCRIPTOR.services_by_name["TargetService"].full_name
STOP_GRACE = timedelta(seconds=1)


OpenSenders = Callable[[DispatcherSettings, Clock, Mapping[type[Request], Send]], AbstractAsyncContextManager[Sender]]
"""What makes the ways out; see `open_senders`. The simulation brings its own."""


@asynccontextmanager
async def open_app(
    settings: DispatcherSettings, enter: OpenNode = open_node, make_senders: OpenSenders = open_senders
) -> AsyncIterator[App]:
    """The dispatcher, ready to start."""
    dice = random.Random(random.getrandbits(64))
    async with AsyncExitStack() as stack:
        node = await stack.enter_async_context(enter("dispatcher", settings))
        watch = node.watch("gateway")
        gateways = Gateways(watch, node.channel)
        stack.push_async_callback(gateways.close)
        others: Mapping[type[Request], Send] = {SocketRequest: gateways.send}
        sender = await stack.enter_async_context(make_senders(settings, node.clock, others))
        histories = node.watch("history")
        user_agent = f"Chronos/{node.member.version}"
        dispatch = Dispatch(
            settings,
            sender=sender,
            ledger=GrpcLedger(lambda: [member.address for member in histories.members.values()], node.channel, dice),
            clock=node.clock,
            dice=dice,
            user_agent=user_agent,
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
        trials = Trials(sender, node.clock, dice)
        read = partial(read_trial, user_agent=user_agent, usual_secrets=settings.usual_secrets)
        server = node.server([
            (add_DeliveryServiceServicer_to_server, servicer, DELIVERIES),
            (add_CircuitBreakerServiceServicer_to_server, BreakerServicer(board), BREAKERS),
            (add_TargetServiceServicer_to_server, TargetServicer(trials, read), TARGETS),
        ])  # fmt: skip

        async def drain() -> None:
            await node.membership.withdraw()
            await dispatch.drain()
            await server.drain(STOP_GRACE)

        loops = {
            **node.loops, **dispatch.loops, "histories": histories.run, "gateways": watch.run,
            "copies": gateways.run, "streams": servicer.run,
            "breaker board": board.run, "breaker notices": notices.run,
        }  # fmt: skip
        yield App(start=lambda: node.start(server), loops=loops, drain=drain)


def breaker_notices(node: Node, breakers: Breakers) -> BreakerNotices:
    """Shows this replica's breakers to all."""

    def own() -> dict[str, bytes]:
        replica = node.member.replica
        return {one.host: write_breaker(one, replica).SerializeToString() for one in breakers.tripped}

    return BreakerNotices(node.etcd, node.lease, node.member.instance, node.clock, own=own, changed=breakers.changed)
