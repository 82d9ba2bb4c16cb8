"""How a record moves on as news of its execution comes in, in whatever order."""

from collections.abc import Iterable

from services.history.domain.records import ACCEPTED, FIRST_FINAL, Record, Status

KNOWN_ENDS = frozenset({Status.SUCCESS, Status.FAILED, Status.TIMED_OUT, Status.CANCELLED})
"""Ends that an execution has only after it began, and that somebody saw."""

DECISIONS = frozenset({Status.SKIPPED, Status.LOST})
"""Ends that the owner of a shard decides, and nobody sees."""


def is_stale(news: Record, sealed_epoch: int) -> bool:
    """Whether it tells of a start or a decision by an owner whose shard has been taken over since.

    Other ends are never stale, nor is what a target has accepted: work that was really done is not thrown away.
    """
    if news.epoch >= sealed_epoch:
        return False
    return news.status in DECISIONS or (news.status < FIRST_FINAL and news.reason_code != ACCEPTED)


def is_granted(claim: Record, stored: Record | None) -> bool:
    """Whether a claim counts: nobody else has begun the execution, and neither has it ended nor its target accepted it.

    The same claim again is granted again. One of an earlier delivery than the stored one is not.
    """
    if stored is None:
        return True
    if stored.is_final or stored.reason_code == ACCEPTED or claim.delivery < stored.delivery:
        return False
    return stored.status == Status.PENDING or stored.claimant == claim.claimant


def supersedes(news: Record, stored: Record) -> bool:
    """Whether the news moves the stored record on.

    A final record never moves, but for what was decided and not seen: when one thought lost, or skipped, turns out to
    have been under way and ended, that is how it really ended. A stretch of skipped ones stays: it speaks for more.
    Success counts whichever delivery brought it; any other end counts only when no later delivery is under way.
    Otherwise a later delivery supersedes an earlier one, and within a delivery progress does: that the target has
    accepted it, too. A settled end is above deliveries: it moves all but what has succeeded or is settled already.
    """
    if news.is_settled:
        has_last_word = stored.status == Status.SUCCESS or stored.is_settled
        return not has_last_word and stored.skipped_until_us is None
    if stored.status >= FIRST_FINAL:
        is_known_now = news.status in KNOWN_ENDS
        if stored.status == Status.LOST:
            return is_known_now and news.delivery <= stored.delivery
        return stored.status == Status.SKIPPED and is_known_now and stored.skipped_until_us is None
    if news.status == Status.SUCCESS or news.delivery > stored.delivery:
        return True
    if news.delivery < stored.delivery:
        return False
    if news.status > stored.status or news.attempt_count > stored.attempt_count:
        return True
    return (
        news.reason_code == ACCEPTED and stored.reason_code != ACCEPTED and news.attempt_count == stored.attempt_count
    )


def advance(stored: Record | None, news: Record) -> Record:
    """The record after the news; `stored` itself when the news changes nothing.

    The news wins, except that the earliest start, the longer list of attempts, the highest delivery, the first
    definition and, before the end, the most advanced status stay; that the news takes nothing away where it says
    nothing of claimant, dispatcher and details; and that what identifies the execution never changes.
    """
    if stored is None:
        return news
    if not supersedes(news, stored):
        return stored
    keeps_attempts = stored.attempt_count > news.attempt_count
    starts = [moment for moment in (stored.started_us, news.started_us) if moment is not None]
    return stored._replace(
        started_us=min(starts, default=None),
        completed_us=news.completed_us,
        status=news.status if news.status >= FIRST_FINAL else max(stored.status, news.status),
        attempt_count=max(stored.attempt_count, news.attempt_count),
        status_code=news.status_code,
        response=news.response,
        is_response_truncated=news.is_response_truncated,
        error=news.error,
        reason=news.reason,
        attempts=stored.attempts if keeps_attempts else news.attempts,
        delivery=max(stored.delivery, news.delivery),
        epoch=max(stored.epoch, news.epoch),
        reason_code=news.reason_code,
        definition_id=stored.definition_id or news.definition_id,
        claimant=news.claimant or stored.claimant,
        dispatcher=news.dispatcher or stored.dispatcher,
        skipped_until_us=news.skipped_until_us,
        details=news.details or stored.details,
        is_settled=news.is_settled,
    )


def coalesce(batch: Iterable[Record]) -> list[Record]:
    """Fewer records with the same effect: steps of one delivery that follow each other become one.

    Records are joined only where that cannot change the outcome, whatever is stored already: an end must still meet
    the stored record by itself, and so must the news of another delivery and a settled end. Claims are decided before.
    """
    joined: list[Record] = []
    places: dict[bytes, int] = {}
    for news in batch:
        place = places.get(news.id)
        if place is not None:
            earlier = joined[place]
            if earlier.status < FIRST_FINAL and earlier.delivery == news.delivery and not news.is_settled:
                joined[place] = advance(earlier, news)
                continue
        places[news.id] = len(joined)
        joined.append(news)
    return joined
