"""Executions that end before they are delivered."""

from collections.abc import Callable

from libs.clock import Clock
from services.dispatcher import metrics
from services.dispatcher.domain.execution import Ending, Status, end_early
from services.dispatcher.held import Held, Stage
from services.dispatcher.recorder import Recorder


class Endings:
    """Ends executions early: what was to come is dropped. `abandon` is called where a request is under way."""

    def __init__(self, recorder: Recorder, abandon: Callable[[Held], None], clock: Clock) -> None:
        self._recorder = recorder
        self._abandon = abandon
        self._clock = clock

    def end(self, held: Held, status: Status, ending: Ending) -> None:
        """Ends one that is live, and whose claim is not on its way."""
        held.progress = end_early(held.progress, status, ending, now=self._clock.now())
        held.is_broken_off = held.stage is Stage.SENDING
        held.stage = Stage.ENDED
        held.give_credit_back()
        held.give_claim_back()
        if not held.is_broken_off:
            held.give_permit_back()
        self._recorder.put(held)
        if held.is_broken_off:
            metrics.BROKEN_OFF.inc()
            self._abandon(held)
