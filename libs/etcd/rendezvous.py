"""Which member should own which shard: highest random weight (Thaler and Ravishankar, 1998).

A pure function of the members' replica names, so all members agree without talking; one that comes or goes moves only
the shards that it gets or had. Names that survive restarts keep a restarted replica's shards where they were.
"""

from collections.abc import Iterable
from hashlib import blake2b

from chronos.cluster.v1.cluster_pb2 import Member


def owner_of(shard: int | str, replicas: Iterable[str]) -> str | None:
    """The replica that should own the shard, or whatever else is called so; None without replicas.

    The order of `replicas` does not matter.
    """
    return max(replicas, key=lambda replica: (_weight(shard, replica), replica), default=None)


def shards_of(instance: str, members: Iterable[Member], shard_count: int) -> frozenset[int]:
    """The shards that the process `instance` should own.

    Of several processes with the same replica name only the one that started last counts: the others are the remains
    of a restart, whose lease has not ended yet.
    """
    newest: dict[str, Member] = {}
    for member in members:
        other = newest.get(member.replica)
        if other is None or _age(member) > _age(other):
            newest[member.replica] = member
    mine = next((member.replica for member in newest.values() if member.instance == instance), None)
    if mine is None:
        return frozenset()
    return frozenset(shard for shard in range(shard_count) if owner_of(shard, newest) == mine)


def _weight(shard: int | str, replica: str) -> bytes:
    return blake2b(f"{shard}|{replica}".encode(), digest_size=8).digest()


def _age(member: Member) -> tuple[int, int, str]:
    return member.started_at.seconds, member.started_at.nanos, member.instance
