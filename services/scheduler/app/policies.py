"""Puts together what asks policies, and the account of what they say."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from libs.etcd.membership import MemberWatch
from libs.mesh import Node
from services.scheduler.adapters.policy_client import PolicyClient
from services.scheduler.adapters.policy_decisions import HistoryDecisions
from services.scheduler.adapters.target_hosts import SystemTargetHosts
from services.scheduler.app.stores import Stores
from services.scheduler.policies.accounts import Accounts
from services.scheduler.settings import SchedulerSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyParts:
    """What the API and the firing path share. `close` is for the end, after the loops: it records what waits first."""

    client: PolicyClient
    accounts: Accounts
    hosts: SystemTargetHosts
    loops: Mapping[str, Callable[[], Awaitable[None]]]
    close: Callable[[], Awaitable[None]]


def open_policies(node: Node, settings: SchedulerSettings, stores: Stores, histories: MemberWatch) -> PolicyParts:
    """The policies of the cluster, as a replica sees them."""
    members = node.watch("policy")
    client = PolicyClient(members, node.channel, stores.policy_book, node.clock)
    decisions = HistoryDecisions(histories, node.channel)
    accounts = Accounts(decisions, node.clock, takes_allowed=settings.account_allowed)

    async def close() -> None:
        await accounts.drain()
        await decisions.close()
        await client.close()

    loops = {"policy services": members.run, "policy accounts": accounts.run}
    return PolicyParts(client=client, accounts=accounts, hosts=SystemTargetHosts(node.clock), loops=loops, close=close)
