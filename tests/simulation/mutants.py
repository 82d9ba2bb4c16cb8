"""Builds that are broken on purpose: each one breaks a promise that a simulated world must show to be broken."""

from collections.abc import Callable, Mapping
from typing import Any

from chronos.scheduler.v1.stored_job_pb2 import StoredCompletion

from libs.etcd import keys
from libs.etcd.lease import Lease
from services.dispatcher.claims import Claims
from services.history.domain import transitions
from services.history.domain.records import Record
from services.scheduler.adapters.etcd_completions import EtcdCompletionStore
from services.scheduler.adapters.etcd_shards import EtcdShardStore
from services.scheduler.domain import identity
from services.scheduler.domain.identity import shard_of
from services.scheduler.firing import outbox as outboxes
from services.scheduler.firing import owned, ticker
from services.scheduler.firing.follow_ups import FollowUps
from services.scheduler.firing.outbox import Outbox
from tests.fakes import ledger as ledgers
from tests.simulation.loop import NODE

FOREVER = 1e6


def epoch_unchecked() -> None:
    """History takes starts and claims of owners whose shard was taken over since."""
    vars(ledgers)["is_stale"] = lambda news, sealed_epoch: False


def claims_unchecked() -> None:
    """History grants every claim."""
    vars(ledgers)["is_granted"] = lambda claim, stored: True


def watermark_too_early() -> None:
    """The watermark moves on to what was fired, recorded or not."""
    owned.OwnedShard.watermark_us = lambda self: self.horizon_us  # type: ignore[method-assign]


def lease_never_distrusted() -> None:
    """A scheduler relies on its lease until etcd says that it ended."""

    def confirm(self: Lease, sent: float) -> None:
        self._trusted_until = sent + FOREVER

    Lease._confirm = confirm  # type: ignore[method-assign]


def no_second_delivery() -> None:
    """What a dead dispatcher held is not handed out again."""
    Outbox._redeliver = lambda self, runs: None  # type: ignore[method-assign]


def claims_not_awaited() -> None:
    """A dispatcher sends runs that may happen at most once without asking the ledger first."""
    Claims.enqueue = lambda self, held: self._deliveries.requeue(held)  # type: ignore[method-assign]


def tombstones_ignored() -> None:
    """A new owner does not look what deleted jobs had due."""

    async def tombstones(self: EtcdShardStore, shard: int) -> tuple[()]:
        return ()

    EtcdShardStore.tombstones = tombstones  # type: ignore[method-assign]


def triggers_forgotten() -> None:
    """The key of a promised run is deleted as soon as the run is handed over."""
    original = outboxes.Outbox.submit

    def submit(self: Outbox, runs: Any) -> None:
        runs = list(runs)
        original(self, runs)
        for run in runs:
            self._listener.recorded(run)

    Outbox.submit = submit  # type: ignore[method-assign]


def follow_ups_forgotten() -> None:
    """A new owner does not look which runs other jobs wait for."""
    FollowUps.adopt = lambda self, shard, follow_ups: None  # type: ignore[method-assign]


def ends_contested() -> None:
    """Of the target, the deadline and a cancellation, whoever ends an accepted run last is right."""

    async def add(self: EtcdCompletionStore, completion: StoredCompletion) -> StoredCompletion:
        execution = completion.execution
        shard = shard_of(execution.namespace, execution.job_id, self._shard_count)
        await self._etcd.put(keys.completion(shard, execution.id), completion.SerializeToString())
        return completion

    EtcdCompletionStore.add = add  # type: ignore[method-assign]


def ends_unmarked() -> None:
    """History takes the end that was put down for an accepted run as it takes what a delivery comes to."""
    original = transitions.advance

    def advance(stored: Record | None, news: Record) -> Record:
        return original(stored, news._replace(is_settled=0))

    vars(ledgers)["advance"] = advance


def identity_by_owner() -> None:
    """Each owner gives an occurrence an identity of its own."""

    def execution_id(job_uid: str, scheduled_us: int) -> str:
        return identity.execution_id(f"{job_uid}{NODE.get()}", scheduled_us)

    vars(ticker)["execution_id"] = execution_id


MUTANTS: Mapping[str, Callable[[], None]] = {
    mutant.__name__: mutant
    for mutant in (
        epoch_unchecked, claims_unchecked, claims_not_awaited, watermark_too_early, lease_never_distrusted,
        no_second_delivery, tombstones_ignored, triggers_forgotten, identity_by_owner, follow_ups_forgotten,
        ends_contested, ends_unmarked,
    )
}  # fmt: skip
