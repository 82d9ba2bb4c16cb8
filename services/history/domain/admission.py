"""Which records of a batch are taken."""

from collections.abc import Mapping, MutableMapping, Sequence

from services.history.domain.records import NOTHING_REFUSED, Batch, Record, Refused
from services.history.domain.transitions import advance, is_granted, is_stale


def claimed_ids(batches: Sequence[Batch]) -> set[bytes]:
    """The executions that batches claim."""
    return {batch.records[place].id for batch in batches for place in batch.claims}


def admit(
    batch: Batch, epochs: Mapping[int, int], claimed: MutableMapping[bytes, Record | None]
) -> tuple[Sequence[Record], Refused]:
    """The records that count, in their order, and the ids of the others.

    `epochs` has the sealed epoch of each shard. `claimed` has the stored record, or None, of each execution that this
    batch or a later one claims; it is moved on by what the batch tells of them, so that the first claim wins.
    """
    stale = {place for place, news in enumerate(batch.records) if is_stale(news, epochs.get(news.shard, 0))}
    if not stale and not claimed:
        return batch.records, NOTHING_REFUSED
    taken: list[Record] = []
    refused: set[bytes] = set()
    for place, news in enumerate(batch.records):
        if place in stale:
            continue
        if news.id in claimed:
            stored = claimed[news.id]
            if place in batch.claims and not is_granted(news, stored):
                refused.add(news.id)
                continue
            claimed[news.id] = advance(stored, news)
        taken.append(news)
    return taken, Refused(frozenset(batch.records[place].id for place in stale), frozenset(refused))
