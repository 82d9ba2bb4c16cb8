"""Targets that refer to secrets: they are complete only at the time of an attempt."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

from libs.redaction import MASK
from libs.secret_references import Reference
from services.dispatcher.domain.breaker import Sign
from services.dispatcher.domain.facts import Facts
from services.dispatcher.domain.outcome import Verdict
from services.dispatcher.domain.results import Answer, Failure, Receipt, Reply, Result
from services.dispatcher.domain.targets.plan import Request, Shown, TargetPlan

# Anything shorter would hide half of every text, and is no secret worth the name.
SHORTEST_HIDDEN = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Unresolved(Failure):
    """A secret could not be had, so that nothing was sent. It says nothing about the target."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """A target with its secrets filled in. `hidden` are the texts that nothing must show."""

    plan: TargetPlan = field(repr=False)
    hidden: Sequence[str] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, weakref_slot=True)
class DeferredTarget:
    """A target with references to secrets. See TargetPlan.

    `outline` is the target with its references as they are written: what is known of it, and shown. `bind` fills
    secrets in; it raises ValueError, which may show them.
    """

    namespace: str
    outline: TargetPlan
    references: Sequence[Reference]
    bind: Callable[[Mapping[Reference, str]], Bound] = field(repr=False)

    @property
    def endpoint(self) -> str:
        """See TargetPlan."""
        return self.outline.endpoint

    @property
    def weight(self) -> int:
        """See TargetPlan. The job that it is made of, the outline, and what it is with its secrets."""
        return 3 * self.outline.weight

    @property
    def shown(self) -> Shown:
        """See TargetPlan."""
        return self.outline.shown

    def request(self, facts: Facts) -> "DeferredRequest":
        """See TargetPlan."""
        return DeferredRequest(target=self, facts=facts, outline=self.outline.request(facts))

    def judge(self, result: Result) -> Verdict:
        """See TargetPlan."""
        verdict = self.outline.judge(result)
        return replace(verdict, sign=Sign.NONE) if isinstance(result, Unresolved) else verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class DeferredRequest:
    """A request that still wants its secrets. `outline` has references in their places, and is never sent."""

    target: DeferredTarget
    facts: Facts
    outline: Request = field(repr=False)

    @property
    def timeout(self) -> timedelta:
        """See Request."""
        return self.outline.timeout

    @property
    def traits(self) -> Mapping[str, str | int]:
        """See Request."""
        return self.outline.traits


def conceal(result: Result, hidden: Sequence[str]) -> Result:
    """What came back, with masks in the places of secrets: receivers like to repeat what they were sent."""
    texts = sorted({text for text in hidden if len(text) >= SHORTEST_HIDDEN}, key=len, reverse=True)
    match result:
        case Answer():
            body = result.body
            for secret in (text.encode() for text in texts):
                body = body.replace(secret, MASK.encode())
                if result.is_truncated:
                    body = body[: len(body) - _begun(body, secret)]
            return replace(result, body=body, location=concealed(result.location, texts))
        case Reply():
            return replace(result, details=concealed(result.details, texts), body=concealed(result.body, texts))
        case Receipt():
            return replace(result, response=concealed(result.response, texts))
        case Failure():
            return replace(result, error=concealed(result.error, texts))


def concealed(text: str, hidden: Sequence[str]) -> str:
    """A text with masks in the places of secrets; the longest come first in `hidden`."""
    for secret in hidden:
        text = text.replace(secret, MASK)
    return text


def _begun(body: bytes, secret: bytes) -> int:
    """How many bytes of a secret the end of a body holds, where it was cut."""
    lengths = range(min(len(secret) - 1, len(body)), 0, -1)
    return next((length for length in lengths if body.endswith(secret[:length])), 0)
