"""A ledger in memory. Passes the contract suite that the real one passes."""

import asyncio
from collections import Counter
from collections.abc import Sequence

from libs.faults import Unavailable, WrongState
from services.history.adapters.details import replayed_id
from services.history.domain.dead_letters import ALIVE, DEAD, REPLAY, Choice, DeadLetter
from services.history.domain.decisions import Decision
from services.history.domain.records import Batch, Change, Definition, Record, Refused, Status
from services.history.domain.transitions import advance, is_granted, is_stale
from services.history.ports import DeadLetterQuery, DecisionQuery, ExecutionQuery, Page, Position, Seal, Search


class FakeLedger:
    """Both sides, the writing and the reading one.

    `fault`, when set, is what every write raises. While `is_held`, what is taken waits for `release`. The next
    `read_faults` looks for changes fail.
    """

    def __init__(self) -> None:
        self.fault: Unavailable | None = None
        self.is_held = False
        self.probes = 0
        self.looks = 0
        self.read_faults = 0
        self._held: list[tuple[Batch, asyncio.Future[Refused]]] = []
        self._records: dict[bytes, Record] = {}
        self._seqs: dict[bytes, int] = {}
        self._epochs: dict[int, int] = {}
        self._definitions: dict[bytes, Definition] = {}
        self._letters: dict[bytes, DeadLetter] = {}
        self._decisions: dict[bytes, Decision] = {}
        self._seq = 0

    def take(self, batch: Batch) -> asyncio.Future[Refused]:
        future: asyncio.Future[Refused] = asyncio.get_running_loop().create_future()
        self._held.append((batch, future))
        if not self.is_held:
            self.release()
        return future

    def release(self) -> None:
        """Writes what was taken while `is_held`."""
        held, self._held = self._held, []
        for batch, future in held:
            if self.fault is not None:
                future.set_exception(self.fault)
            else:
                future.set_result(self._take(batch))

    async def seal(self, shard: int, epoch: int, watermark_us: int) -> Seal:
        self._ensure_writable()
        if self._epochs.get(shard, 0) > epoch:
            raise WrongState("A newer epoch is sealed.", reason="EPOCH_SEALED")
        self._epochs[shard] = epoch
        mine = [record for record in self._records.values() if record.shard == shard]
        return Seal(
            unfinished=tuple(record._replace(response="") for record in mine if not record.is_final),
            recorded_ids=tuple(record.id for record in mine if record.scheduled_us > watermark_us),
        )

    async def expire(self, before_us: int, limit: int) -> int:
        self._ensure_writable()
        old = [r.id for r in self._records.values() if r.is_final and r.scheduled_us < before_us][:limit]
        for execution_id in old:
            del self._records[execution_id], self._seqs[execution_id]
        return len(old)

    async def sweep(self, before_us: int, limit: int) -> int:
        self._ensure_writable()
        used = {record.definition_id for record in self._records.values()}
        used |= {letter.record.definition_id for letter in self._letters.values()}
        unused = [each for each in self._definitions if each not in used][:limit]
        for each in unused:
            del self._definitions[each]
        return len(unused)

    async def delete_dead_letters(self, choice: Choice, limit: int) -> int:
        self._ensure_writable()
        return self._forget([letter for letter in self._letters.values() if choice.holds(letter)][:limit])

    async def expire_dead_letters(self, before_us: int, most: int, limit: int) -> int:
        self._ensure_writable()
        newest, seen, gone = sorted(self._letters.values(), key=_death, reverse=True), Counter[str](), []
        for letter in newest:
            seen[letter.record.namespace] += 1
            if _death(letter)[0] < before_us or seen[letter.record.namespace] > most:
                gone.append(letter)
        return self._forget(gone[::-1][:limit])

    async def record_decisions(self, decisions: Sequence[Decision]) -> frozenset[bytes]:
        self._ensure_writable()
        new = {decision.id: decision for decision in decisions if decision.id not in self._decisions}
        self._decisions |= new
        return frozenset(new)

    async def expire_decisions(self, before_us: int, limit: int) -> int:
        self._ensure_writable()
        old = sorted(filter(lambda each: each.time_us < before_us, self._decisions.values()), key=_moment)
        for decision in old[:limit]:
            del self._decisions[decision.id]
        return len(old[:limit])

    async def probe(self) -> None:
        self.probes += 1
        self._ensure_writable()

    async def find(self, namespace: str, execution_id: bytes) -> Record | None:
        record = self._records.get(execution_id)
        return record if record is not None and record.namespace == namespace else None

    async def page(self, query: ExecutionQuery) -> Page:
        found = sorted(
            (
                record._replace(attempts=b"")
                for record in self._records.values()
                if record.namespace == query.namespace
                and query.job_id in ("", record.job_id)
                and (not query.statuses or record.status in query.statuses)
                and query.from_us <= record.scheduled_us < query.to_us
                and (query.after is None or (record.scheduled_us, record.id) < query.after)
            ),
            key=_place,
            reverse=True,
        )
        shown = tuple(found[: query.limit])
        return Page(records=shown, next=(shown[-1].scheduled_us, shown[-1].id) if len(found) > len(shown) else None)

    async def search(self, search: Search) -> list[Record]:
        def is_asked_for(record: Record) -> bool:
            last_us = record.scheduled_us
            if search.with_stretches and record.skipped_until_us is not None:
                last_us = max(last_us, record.skipped_until_us)
            return (
                record.namespace == search.namespace
                and search.job_id in ("", record.job_id)
                and (not search.ids or record.id in search.ids)
                and last_us >= search.from_us
                and record.scheduled_us < search.to_us
            )

        found = sorted(filter(is_asked_for, self._records.values()), key=_place, reverse=True)
        return [record._replace(response="") for record in found[: search.limit]]

    async def definitions(self, ids: Sequence[bytes]) -> dict[bytes, Definition]:
        return {each: self._definitions[each] for each in ids if each in self._definitions}

    async def dead_letters(self, query: DeadLetterQuery) -> list[DeadLetter]:
        found = [
            letter
            for letter in self._letters.values()
            if query.choice.holds(letter) and (query.after is None or _death(letter) < query.after)
        ]
        return sorted(found, key=_death, reverse=True)[: query.limit]

    async def count_dead_letters(self, choice: Choice | None = None) -> Counter[int]:
        return Counter(
            letter.record.status
            for letter in self._letters.values()
            if (choice.holds(letter) if choice else not letter.replayed_by)
        )

    async def decisions(self, query: DecisionQuery) -> list[Decision]:
        found = [
            decision._replace(policy_ids=())
            for decision in self._decisions.values()
            if query.choice.holds(decision) and (query.after is None or _moment(decision) < query.after)
        ]
        return sorted(found, key=_moment, reverse=True)[: query.limit]

    async def position(self) -> Position:
        return Position(ledger_id="fake", seq=self._seq)

    async def changes(self, after_seq: int, limit: int) -> list[Change]:
        self.looks += 1
        if self.read_faults:
            self.read_faults -= 1
            raise Unavailable("The disk is asleep.")
        changed = sorted((seq, execution_id) for execution_id, seq in self._seqs.items() if seq > after_seq)[:limit]
        return [Change(seq, self._records[execution_id]._replace(attempts=b"")) for seq, execution_id in changed]

    def _take(self, batch: Batch) -> Refused:
        for definition in batch.definitions:
            self._definitions.setdefault(definition.id, definition)
        stale, claimed = set(), set()
        for place, news in enumerate(batch.records):
            if is_stale(news, self._epochs.get(news.shard, 0)):
                stale.add(news.id)
            elif place in batch.claims and not is_granted(news, self._records.get(news.id)):
                claimed.add(news.id)
            else:
                self._put(news)
        return Refused(frozenset(stale), frozenset(claimed))

    def _put(self, news: Record) -> None:
        stored = self._records.get(news.id)
        record = advance(stored, news)
        if record is not stored:
            self._seq += 1
            self._records[news.id], self._seqs[news.id] = record, self._seq
            self._follow(record)

    def _follow(self, record: Record) -> None:
        known = self._letters.get(record.id)
        work = self._open_letter(replayed_id(record.details)) if record.cause == REPLAY else None
        if record.status in ALIVE and known is not None:
            del self._letters[record.id]
        if record.status == Status.SUCCESS and work is not None:
            self._letters[work.record.id] = work._replace(replayed_by=record.id)
        if record.status in DEAD and work is None:
            died_us = record.scheduled_us if record.completed_us is None else record.completed_us
            dead = record._replace(completed_us=died_us)
            self._letters[record.id] = DeadLetter(dead, known.replayed_by if known else b"")

    def _open_letter(self, execution_id: bytes) -> DeadLetter | None:
        while execution_id:
            letter = self._letters.get(execution_id)
            if letter is not None and not letter.replayed_by:
                return letter
            stored = self._records.get(execution_id)
            execution_id = replayed_id(stored.details) if stored else b""
        return None

    def _forget(self, letters: Sequence[DeadLetter]) -> int:
        for letter in letters:
            del self._letters[letter.record.id]
        return len(letters)

    def _ensure_writable(self) -> None:
        if self.fault is not None:
            raise self.fault


def _place(record: Record) -> tuple[int, bytes]:
    return record.scheduled_us, record.id


def _death(letter: DeadLetter) -> tuple[int, bytes]:
    return letter.record.completed_us or 0, letter.record.id


def _moment(decision: Decision) -> tuple[int, bytes]:
    return decision.time_us, decision.id
