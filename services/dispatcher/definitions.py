"""How jobs were delivered, as history keeps it: told once on each stream."""

from datetime import timedelta

from chronos.history.v1 import ledger_service_pb2

from services.dispatcher.domain.plan import Plan

MOST_TOLD = 50_000
# History keeps a definition for a day at least after it was last heard of: a stream that lives longer tells it again.
LIFETIME = timedelta(hours=1)


class ToldDefinitions:
    """The definitions that went out on one stream. Beyond `MOST_TOLD`, and each hour, all are told again."""

    def __init__(self) -> None:
        self._told: set[bytes] = set()
        self._forgotten_at: float | None = None

    def grow_old(self, now: float) -> None:
        """Forgets everything once an hour; `now` is monotonic seconds."""
        if self._forgotten_at is None or now - self._forgotten_at >= LIFETIME.total_seconds():
            self._forgotten_at = now
            self._told.clear()

    def tell(self, plan: Plan, record: ledger_service_pb2.ExecutionRecord) -> None:
        """Adds the definition to a record that is about to be sent, if it is the first one that needs it."""
        if not plan.definition_id or plan.definition_id in self._told:
            return
        if len(self._told) >= MOST_TOLD:
            self._told.clear()
        self._told.add(plan.definition_id)
        record.MergeFromString(plan.definition)

    def forget(self, plan: Plan) -> None:
        """A record with it was refused: history may not have kept the definition either."""
        self._told.discard(plan.definition_id)
