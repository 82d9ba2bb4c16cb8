"""Sends requests that refer to secrets: the secrets filled in first, and taken out of what comes back."""

from dataclasses import dataclass
from weakref import WeakKeyDictionary

from libs.clock import Clock
from services.dispatcher.domain.deferred import Bound, DeferredRequest, DeferredTarget, Unresolved, conceal, concealed
from services.dispatcher.domain.results import FailureKind, Result
from services.dispatcher.domain.targets.plan import Request
from services.dispatcher.ports import Sender
from services.dispatcher.secret_values import SecretValues


@dataclass(frozen=True, slots=True)
class _Kept:
    """A target with its secrets, while these count as fresh."""

    bound: Bound
    fresh_until: float


class DeferredSender:
    """Fills in the secrets of DeferredRequests on their way to `sender`; all others just pass.

    A target with its secrets is kept while they are fresh, and no longer than the target without them.
    """

    def __init__(self, values: SecretValues, sender: Sender, clock: Clock) -> None:
        self._values = values
        self._sender = sender
        self._clock = clock
        self._kept: WeakKeyDictionary[DeferredTarget, _Kept] = WeakKeyDictionary()

    async def send(self, request: Request) -> Result:
        """See Sender."""
        if not isinstance(request, DeferredRequest):
            return await self._sender.send(request)
        bound = await self._bind(request.target)
        if isinstance(bound, Unresolved):
            return bound
        result = await self._sender.send(bound.plan.request(request.facts))
        return conceal(result, bound.hidden)

    async def _bind(self, target: DeferredTarget) -> Bound | Unresolved:
        kept = self._kept.get(target)
        if kept is not None and kept.fresh_until > self._clock.monotonic():
            return kept.bound
        found = await self._values.find(target.namespace, target.references)
        if isinstance(found, Unresolved):
            return found
        try:
            bound = target.bind(found.values)
        except ValueError as error:
            why = concealed(str(error), sorted(found.values.values(), key=len, reverse=True))
            return Unresolved(
                kind=FailureKind.INVALID, error=f"the job cannot be delivered with its secrets filled in: {why}"
            )
        self._kept[target] = _Kept(bound, found.fresh_until)
        return bound
