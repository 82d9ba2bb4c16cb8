"""Repeating dead letters, one and many."""

import uuid
from collections.abc import Sequence

import pytest
from chronos.history.v1 import dead_letter_service_pb2, execution_pb2, ledger_service_pb2
from chronos.history.v1.dead_letter_pb2 import DeadLetter
from chronos.scheduler.v1 import job_pb2, stored_job_pb2

from libs.faults import NotFound, Unavailable, WrongState
from services.scheduler.jobs.secrets import masked_job
from services.scheduler.runs.dead_letters import DeadLetterReplays, Listing, Wish
from services.scheduler.runs.replays import Replays
from services.scheduler.runs.triggers import Triggers
from tests.fakes.clock import FakeClock
from tests.fakes.policies import no_policies
from tests.fakes.scheduler import FakeJobStore, FakeLedger
from tests.fakes.versions import FakeJobFinder, FakeTriggerStore, FakeVersionStore

WISH = Wish(request_id="r", actor="key-1")


class FakeLetters:
    """Dead letters in a list, the last to die first."""

    def __init__(self) -> None:
        self.letters: list[DeadLetter] = []

    async def find(
        self, listing: dead_letter_service_pb2.ListDeadLettersRequest, ids: Sequence[str] = ()
    ) -> dead_letter_service_pb2.FindDeadLettersResponse:
        chosen = [
            letter
            for letter in self.letters
            if (not ids or letter.id in ids)
            and (listing.include_replayed or not letter.replayed_by)
            and letter.execution.namespace == listing.namespace
        ]
        start = int(listing.page_token or 0)
        end = start + (listing.page_size or 50)
        token = str(end) if end < len(chosen) else ""
        return dead_letter_service_pb2.FindDeadLettersResponse(dead_letters=chosen[start:end], next_page_token=token)


class Stage:
    """Jobs of which runs died, and what repeats them."""

    def __init__(self) -> None:
        self.letters = FakeLetters()
        self.jobs = FakeJobStore()
        self.ledger = FakeLedger()
        self.store = FakeTriggerStore()
        clock, finder = FakeClock(), FakeJobFinder(self.jobs)
        triggers = Triggers(finder, self.store, self.ledger, no_policies(), clock)
        replays = Replays(finder, FakeVersionStore(self.jobs), triggers, self.ledger, no_policies(), clock)
        self.replays = DeadLetterReplays(self.letters, replays)

    async def died(self, number: int, *, job_id: str = "report", replayed_by: str = "") -> str:
        job = job_pb2.Job(namespace="default", id=job_id, uid=f"uid of {job_id}", name=job_id, version=1)
        job.webhook.url, job.webhook.method = "https://example.com/then", "POST"
        if await self.jobs.get("default", job_id) is None and job_id != "gone":
            await self.jobs.insert(stored_job_pb2.StoredJob(job=job))
        execution = execution_pb2.Execution(
            id=str(uuid.UUID(int=number)), namespace="default", job_id=job_id, job_uid=job.uid, job_version=1,
            status=execution_pb2.Execution.FAILED,
        )  # fmt: skip
        execution.scheduled_time.FromSeconds(number)
        self.ledger.executions.append(execution)
        self.ledger.definitions[execution.id] = ledger_service_pb2.Definition(job=masked_job(job).SerializeToString())
        self.letters.letters.insert(0, DeadLetter(id=execution.id, execution=execution, replayed_by=replayed_by))
        return execution.id

    @property
    def replayed(self) -> list[str]:
        """The executions that are repeated, in the order of the promises."""
        return [trigger.replay_of for trigger in self.store.triggers.values()]


async def test_a_dead_letter_is_repeated_with_its_recorded_request() -> None:
    stage = Stage()
    letter = await stage.died(1)
    execution = await stage.replays.replay("", letter, WISH)
    assert (execution.replay_of, execution.actor) == (letter, "key-1")
    assert execution.cause == execution_pb2.Execution.REPLAY
    again = await stage.replays.replay("default", letter, WISH)
    assert (again.id, stage.replayed) == (execution.id, [letter])


async def test_only_open_dead_letters_are_repeated() -> None:
    stage = Stage()
    settled = await stage.died(1, replayed_by="0198-a")
    with pytest.raises(WrongState, match="0198-a") as caught:
        await stage.replays.replay("", settled, WISH)
    assert caught.value.reason == "DEAD_LETTER_SETTLED"
    for namespace, letter in (("", str(uuid.UUID(int=9))), ("ops", settled)):
        with pytest.raises(NotFound):
            await stage.replays.replay(namespace, letter, WISH)
    assert stage.replayed == []


async def test_many_are_repeated_page_after_page_and_what_cannot_be_is_told() -> None:
    stage = Stage()
    ids = [await stage.died(number, job_id="gone" if number == 2 else "report") for number in range(1, 6)]
    listing = Listing(namespace="default", page_size=3)
    first = await stage.replays.replay_page(listing, WISH, validate_only=False)
    assert first.ids == [ids[4], ids[3], ids[2]]
    listing.page_token = first.next_page_token
    rest = await stage.replays.replay_page(listing, WISH, validate_only=False)
    assert (rest.ids, rest.next_page_token) == ([ids[0]], "")
    ((failed, fault),) = rest.failures
    assert failed == ids[1]
    assert isinstance(fault, WrongState)
    assert "deleted" in fault.message
    by_new_id = {promised.execution_id: promised.replay_of for promised in stage.store.triggers.values()}
    assert [by_new_id[each] for each in (*first.execution_ids, *rest.execution_ids)] == [*first.ids, *rest.ids]


async def test_a_check_repeats_nothing() -> None:
    stage = Stage()
    letter = await stage.died(1)
    page = await stage.replays.replay_page(Listing(namespace="default"), WISH, validate_only=True)
    assert (page.ids, page.execution_ids, stage.replayed) == ([letter], (), [])


async def test_once_history_is_away_the_rest_is_told_as_not_repeated() -> None:
    stage = Stage()
    ids = [await stage.died(number) for number in range(1, 41)]
    stage.ledger.is_away = True
    page = await stage.replays.replay_page(Listing(namespace="default"), WISH, validate_only=False)
    assert page.ids == []
    assert sorted(each for each, _ in page.failures) == sorted(ids)
    assert {type(fault) for _, fault in page.failures} == {Unavailable}
