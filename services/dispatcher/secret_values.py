"""The values of secrets that jobs refer to, read when they are needed and kept for a short while."""

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

from libs.clock import Clock
from libs.durations import format_duration
from libs.log import get_logger
from libs.secret_references import Reference
from services.dispatcher.domain.deferred import Unresolved
from services.dispatcher.domain.results import Failure, FailureKind
from services.dispatcher.domain.secret_rules import Rules, is_allowed

MOST_KEPT = 10_000
# Attempts that wait for a source that was away when it was last asked: without a bound, one that hangs would take up
# all turns of the delivery loop again and again.
MOST_WAITING = 64
FAILURE_LIFETIME = timedelta(seconds=1)


class SecretSource(Protocol):
    """Where secrets are kept."""

    async def read(self, name: str) -> str | Failure:
        """The secret of that name, or why there is none: UNREADY when it may come, INVALID when it will not.

        The caller bounds the time, and takes OSError and the like for a source that is away.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Secrets, which count as fresh until a moment of the monotonic clock."""

    values: Mapping[Reference, str] = field(repr=False)
    fresh_until: float


@dataclass(frozen=True, slots=True)
class _Kept:
    """What a source said, until it is asked again."""

    value: str | Unresolved = field(repr=False)
    fresh_until: float


class SecretValues:
    """Reads secrets, each one at a time and at most once in `lifetime`, whoever needs it. Failures are kept for 1 s.

    `sources` are those that the operator has set up, by name; `rules` say who may have what.
    """

    def __init__(
        self,
        sources: Mapping[str, SecretSource],
        rules: Rules,
        clock: Clock,
        *,
        lifetime: timedelta,
        timeout: timedelta,
    ) -> None:
        self._sources = sources
        self._rules = rules
        self._clock = clock
        self._lifetime = lifetime.total_seconds()
        self._timeout = timeout
        self._kept: OrderedDict[Reference, _Kept] = OrderedDict()
        self._being_read: dict[Reference, asyncio.Event] = {}
        self._waiting: Counter[str] = Counter()
        self._away: set[str] = set()
        self._log = get_logger()

    async def find(self, namespace: str, references: Sequence[Reference]) -> Found | Unresolved:
        """All those secrets, or why one of them cannot be had."""
        for reference in references:
            if (refusal := self._refusal(namespace, reference)) is not None:
                return refusal
        values: dict[Reference, str] = {}
        fresh_until = float("inf")
        for reference in references:
            kept = await self._value(reference)
            if isinstance(kept.value, Unresolved):
                return kept.value
            values[reference] = kept.value
            fresh_until = min(fresh_until, kept.fresh_until)
        return Found(values=values, fresh_until=fresh_until)

    def _refusal(self, namespace: str, reference: Reference) -> Unresolved | None:
        if reference.source not in self._sources:
            return _invalid(reference, f"this cluster's dispatchers read no secrets from {reference.source}")
        if not is_allowed(self._rules, namespace, reference):
            return _invalid(
                reference, f'the namespace "{namespace}" may not have it; an operator can allow it (secret_rules)'
            )
        return None

    async def _value(self, reference: Reference) -> _Kept:
        while True:
            kept = self._kept.get(reference)
            if kept is not None and kept.fresh_until > self._clock.monotonic():
                self._kept.move_to_end(reference)
                return kept
            if reference.source in self._away and self._waiting[reference.source] >= MOST_WAITING:
                return _Kept(_unready(reference, f"too many attempts wait for {reference.source} already"), 0.0)
            self._waiting[reference.source] += 1
            try:
                is_read = self._being_read.get(reference)
                if is_read is None:
                    return await self._read(reference)
                await is_read.wait()
            finally:
                self._waiting[reference.source] -= 1

    async def _read(self, reference: Reference) -> _Kept:
        is_read = self._being_read[reference] = asyncio.Event()
        try:
            value = await self._ask(reference)
        finally:
            del self._being_read[reference]
            is_read.set()
        if isinstance(value, Unresolved) and value.kind is FailureKind.UNREADY:
            self._away.add(reference.source)
        else:
            self._away.discard(reference.source)
        lifetime = FAILURE_LIFETIME.total_seconds() if isinstance(value, Unresolved) else self._lifetime
        kept = self._kept[reference] = _Kept(value, self._clock.monotonic() + lifetime)
        self._kept.move_to_end(reference)
        while len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)
        return kept

    async def _ask(self, reference: Reference) -> str | Unresolved:
        try:
            async with asyncio.timeout(self._timeout.total_seconds()):
                answer = await self._sources[reference.source].read(reference.name)
        except TimeoutError:
            return self._told(_unready(reference, f"its source gave no answer within {format_duration(self._timeout)}"))
        except Exception as error:  # noqa: BLE001 - a source that fails in a new way must fail no other job
            return self._told(_unready(reference, f"its source cannot be read ({type(error).__name__})"))
        if isinstance(answer, Failure):
            return self._told(Unresolved(kind=answer.kind, error=_sentence(reference, answer.error)))
        return answer if answer else self._told(_invalid(reference, "it is empty"))

    def _told(self, failure: Unresolved) -> Unresolved:
        self._log.warning("secret cannot be read", error=failure.error)
        return failure


def _invalid(reference: Reference, why: str) -> Unresolved:
    return Unresolved(kind=FailureKind.INVALID, error=_sentence(reference, why))


def _unready(reference: Reference, why: str) -> Unresolved:
    return Unresolved(kind=FailureKind.UNREADY, error=_sentence(reference, why))


def _sentence(reference: Reference, why: str) -> str:
    return f"the secret {reference} cannot be had: {why}"
