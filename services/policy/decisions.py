"""What policies say to operations."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache

from chronos.policy.v1 import policy_pb2

from libs.clock import Clock
from libs.faults import InvalidArgument, Unavailable, Violation
from services.policy import metrics
from services.policy.convert import compiled_from
from services.policy.domain.judging import Judgement, PolicySet, Question
from services.policy.ports import PolicyBook
from services.policy.reading import read_policy

DRAFT = "draft."
DRAFTS_KEPT = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """What policies say to some questions, in their order, and the revision that they were at."""

    judgements: Sequence[Judgement]
    revision: int


class Decisions:
    """Judges by the stored policies, or by a draft. Changes nothing."""

    def __init__(self, book: PolicyBook, clock: Clock, *, slice_length: timedelta) -> None:
        self._book = book
        self._clock = clock
        self._slice_seconds = slice_length.total_seconds()

    async def decide(self, questions: Iterable[Question], draft: policy_pb2.Policy | None) -> Decided:
        """Judges each question, all by the same policies; others get their turn in between.

        By the draft alone when there is one, whether it is enabled or not. Raises Unavailable until the policies were
        read, and InvalidArgument when the draft is wrong.
        """
        edition = self._book.edition
        if edition is None:
            raise Unavailable("the policies have not been read yet; try again in a moment", reason="POLICIES_NOT_READ")
        policies = edition.policies if draft is None else _draft_set(draft.SerializeToString(deterministic=True))
        judgements: list[Judgement] = []
        turn_ends = self._clock.monotonic() + self._slice_seconds
        for question in questions:
            judgement = policies.judge(question)
            judgements.append(judgement)
            if draft is None:
                metrics.count_decision(judgement.decision)
            if self._clock.monotonic() >= turn_ends:
                await self._clock.sleep(timedelta(0))
                turn_ends = self._clock.monotonic() + self._slice_seconds
        return Decided(judgements=judgements, revision=edition.revision)


@lru_cache(maxsize=DRAFTS_KEPT)
def _draft_set(serialized: bytes) -> PolicySet:
    """A draft, ready to judge. A dry run asks about the same one again and again."""
    wish = policy_pb2.Policy.FromString(serialized)
    try:
        draft = read_policy(wish).policy
    except InvalidArgument as error:
        violations = [Violation(field=DRAFT + found.field, description=found.description) for found in error.violations]
        raise InvalidArgument(violations) from error
    draft.enabled, draft.version = True, wish.version
    return PolicySet([compiled_from(draft)])
