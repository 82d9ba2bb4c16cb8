"""Watermarks that stand still, and what holds them."""

from datetime import timedelta

from libs.clock import Clock
from services.scheduler.domain.identity import microseconds, moment_of
from services.scheduler.domain.invariants import Kind, Suspicion
from services.scheduler.firing.outbox import Outbox
from services.scheduler.firing.owned import OwnedShard, OwnedShards, marker_of
from services.scheduler.firing.progress import NEXT_LOOK, SECOND_US, written_late

BEHIND_US = 30 * SECOND_US
MOST_EXPLAINED = 20
TURN = timedelta(0)
MARK = marker_of("")
Reason = tuple[str, str]


class Standstills:
    """The watermark of each owned shard follows the clock."""

    def __init__(self, owned: OwnedShards, outbox: Outbox, clock: Clock) -> None:
        self._owned = owned
        self._outbox = outbox
        self._clock = clock

    async def look(self) -> list[Suspicion]:
        """See scan.Check."""
        found: list[Suspicion] = []
        now_us = microseconds(self._clock.now())
        for shard in self._owned.trusted().values():
            if len(found) >= MOST_EXPLAINED:
                break
            if now_us - shard.watermark_us() > BEHIND_US or written_late(shard, now_us):
                reason = self._reason(shard, now_us)
                if reason is not None:
                    found.append(_behind(shard, *reason))
                await self._clock.sleep(TURN)
        return found

    def _reason(self, shard: OwnedShard, now_us: int) -> Reason | None:
        """What holds the watermark, and what to do. None when only missed runs are being made up for."""
        if now_us - shard.horizon_us > BEHIND_US:
            if self._outbox.is_full:
                return "firing is paused, as many runs wait as may", "add dispatchers, or see why they take nothing"
            return "nothing was fired since then", "restart this scheduler if that does not pass"
        late = [(us, key) for key, us in shard.unrecorded.items() if now_us - us > BEHIND_US]
        if not late:
            return "what is recorded cannot be written to etcd", "see that etcd answers, and how fast its disk is"
        catching_up = {job.uid for job in shard.jobs.values()}
        us, key = min(((us, key) for us, key in late if key not in catching_up), default=(0, ""))
        return self._explained(us, key) if key else None

    def _explained(self, us: int, key: str) -> Reason:
        execution = f"execution {key.removesuffix(MARK)} of {moment_of(us).isoformat()}"
        history = "see that history runs and can write (chronos_history_ledger_is_writable)"
        if key.endswith(MARK):
            return f"{execution} has dependants, and its follow-up is not durable", "see that etcd answers"
        if holder := self._outbox.holder_of(key):
            return f"{execution} is at {holder}, which has not got its start into the ledger", history
        if self._outbox.is_handed_out(key):
            return f"{execution} was handed out, and its dispatcher does not answer", "see the finding IN_DOUBT"
        if key in self._outbox.queued_ids():
            return f"{execution} waits for a dispatcher", "see that dispatchers run and have room"
        return (
            f"{execution} waits for its turn, for policies, for a quota, or for history to take its record",
            f"look at earlier runs of its job, at the namespace's quota, and that policy runs; {history}",
        )


def _behind(shard: OwnedShard, message: str, fix: str) -> Suspicion:
    return Suspicion(
        kind=Kind.BEHIND,
        subject=f"shard {shard.shard}",
        message=f"its watermark stands still: {message}",
        fix=fix,
        patience=NEXT_LOOK,
        since=moment_of(min(shard.watermark_us(), shard.written_us)),
    )
