"""Runs that wait until policies have judged them, and what becomes of other runs meanwhile."""

from dataclasses import replace

import pytest
from chronos.policy.v1 import policy_pb2
from chronos.scheduler.v1 import job_pb2, stored_job_pb2

from services.scheduler.convert.firing import firing_job
from services.scheduler.domain.occurrence import Cause, Concurrency, Run
from tests.fakes.firing import (
    EPOCH,
    SECOND,
    SHARD,
    START,
    Event,
    Execution,
    identity_at,
    ids,
    stored,
    trigger,
    unfinished,
)
from tests.fakes.policed import Policed
from tests.fakes.policies import allow, deny

RUN = policy_pb2.Policy.RUN
FORBID, QUEUE, REPLACE = job_pb2.Job.FORBID, job_pb2.Job.QUEUE, job_pb2.Job.REPLACE
PROMISED = "018bcfe5-6800-845c-acb2-5c033444737c"
ONCE = "1 0 0 1 1 *"


@pytest.fixture
def bench() -> Policed:
    return Policed()


async def test_a_denied_run_leaves_its_place_to_the_next_one(bench: Policed) -> None:
    bench.policies.judge = lambda question: deny(question) if question.time.seconds % 60 == 1 else allow(question)
    link = bench.link()
    async with bench.owning(stored(concurrency=FORBID)):
        await bench.clock.advance(2 * SECOND)
        assert ids(link.sent) == [identity_at(2)]


async def test_the_engine_goes_on_while_an_answer_is_awaited(bench: Policed) -> None:
    bench.policies.goes_on.clear()
    bench.book.tagged = {"team": "slow"}
    link = bench.link()
    async with bench.owning(stored("a", tags={"team": "slow"}), stored("b")):
        await bench.clock.advance(3 * SECOND)
        assert ids(link.sent) == [identity_at(second, name="b") for second in (1, 2, 3)]
        assert bench.gate.waiting == 3


async def test_what_waits_for_policies_holds_the_watermark(bench: Policed) -> None:
    bench.policies.goes_on.clear()
    async with bench.owning(stored(schedule=ONCE)):
        await bench.clock.advance(5 * SECOND)
        assert bench.watermark() < START + SECOND


async def test_runs_of_a_job_begin_in_their_order(bench: Policed) -> None:
    bench.policies.goes_on.clear()
    link = bench.link()
    async with bench.owning(stored()):
        await bench.clock.advance(2 * SECOND)
        bench.policies.is_lasting = True
        bench.policies.goes_on.set()
        await bench.clock.advance(SECOND)
        assert ids(link.sent) == [identity_at(1), identity_at(2), identity_at(3)]


async def test_a_run_about_which_a_decision_stands_does_not_overtake_one_that_waits(bench: Policed) -> None:
    bench.policies.is_lasting = True
    early, late = PROMISED[:-1] + "1", PROMISED[:-1] + "2"
    link = bench.link()
    async with bench.owning(stored(schedule=ONCE)):
        bench.order(triggers=[trigger(early, actor="boss")])
        await bench.clock.advance(SECOND / 2)
        bench.policies.goes_on.clear()
        await bench.clock.advance(SECOND)
        bench.order(triggers=[trigger(late, actor="boss")])
        await bench.clock.advance(SECOND)
        assert ids(link.sent) == [early]
        bench.policies.goes_on.set()
        await bench.clock.advance(SECOND)
        assert ids(link.sent) == [early, identity_at(1), late]


async def test_runs_of_one_job_that_wait_together_share_an_answer(bench: Policed) -> None:
    bench.policies.is_away = True
    link = bench.link()
    async with bench.owning(stored()):
        await bench.clock.advance(3 * SECOND + SECOND / 2)
        bench.policies.is_away = False
        await bench.clock.advance(SECOND / 2)
        assert len(link.sent) >= 3
        assert len(bench.policies.asked) <= 2


async def test_one_run_at_a_time_is_judged_by_how_many_are_under_way(bench: Policed) -> None:
    bench.book.applies = {RUN: frozenset({"load"})}
    bench.policies.judge = lambda question: deny(question) if question.load.job_runs >= 2 else allow(question)
    link = bench.link()
    async with bench.owning(stored(schedule="@yearly")):
        promised = [PROMISED[:-1] + digit for digit in "1234"]
        bench.order(triggers=[trigger(identity) for identity in promised])
        await bench.clock.advance(SECOND)
        assert ids(link.sent) == promised[:2]
        assert [note.id for note in bench.noted()] == promised[2:]


async def test_the_load_counts_what_is_under_way_in_the_namespace(bench: Policed) -> None:
    bench.book.applies = {RUN: frozenset({"load"})}
    link = bench.link()
    async with bench.owning(stored("a", ONCE), stored("b", "2 0 0 1 1 *"), stored("c", "3 0 0 1 1 *")):
        await bench.clock.advance(2 * SECOND)
        bench.report(link, Event.FINISHED, identity_at(1, name="a"))
        await bench.clock.advance(SECOND)
        assert [question.load.namespace_runs for question in bench.policies.asked] == [0, 1, 1]


async def test_a_freeze_that_begins_while_a_run_waits_for_its_turn_holds_for_it(bench: Policed) -> None:
    link = bench.link()
    async with bench.owning(stored(concurrency=QUEUE, max_queued_runs=10)):
        await bench.clock.advance(2 * SECOND)
        bench.policies.judge = deny
        bench.report(link, Event.FINISHED, identity_at(1))
        await bench.clock.advance(SECOND / 2)
        assert ids(link.sent) == [identity_at(1)]
        assert [(note.id, note.reason_code) for note in bench.noted()] == [(identity_at(2), Execution.POLICY)]


async def test_a_freeze_that_begins_while_a_run_waits_for_a_quota_holds_for_it(bench: Policed) -> None:
    bench.quotas.limit = 0
    link = bench.link()
    async with bench.owning(stored(schedule=ONCE)):
        await bench.clock.advance(5 * SECOND)
        bench.policies.judge = deny
        bench.quotas.limit = 1
        bench.admission.quota_changed("default")
        await bench.clock.advance(SECOND)
        assert link.sent == []
        assert [note.reason_code for note in bench.noted()] == [Execution.POLICY]
        assert bench.quotas.running == 0


async def test_a_run_that_waited_for_a_quota_is_judged_again_and_begins(bench: Policed) -> None:
    bench.quotas.limit = 0
    link = bench.link()
    async with bench.owning(stored(schedule=ONCE)):
        await bench.clock.advance(5 * SECOND)
        bench.quotas.limit = 1
        bench.admission.quota_changed("default")
        await bench.clock.advance(SECOND)
        assert ids(link.sent) == [identity_at(1)]
        assert (len(bench.policies.asked), bench.quotas.running) == (2, 1)


async def test_thousands_of_runs_that_wait_for_their_turn_can_be_denied_in_a_row(bench: Policed) -> None:
    bench.policies.is_lasting = True
    link = bench.link(credit=5000)
    many = [f"{number:08x}-6800-845c-acb2-5c033444737c" for number in range(3000)]
    async with bench.owning(stored(schedule="@yearly", concurrency=QUEUE)):
        bench.order(triggers=[trigger(identity, cause=Execution.BACKFILL) for identity in many])
        await bench.clock.advance(SECOND)
        bench.book.revision = bench.policies.revision = 8
        bench.policies.judge = deny
        bench.report(link, Event.FINISHED, many[0])
        await bench.clock.advance(5 * SECOND)
        assert ids(link.sent) == many[:1]
        assert {note.id for note in bench.noted()} == set(many[1:])


async def test_forbid_says_that_the_run_before_waited_for_policies(bench: Policed) -> None:
    bench.policies.goes_on.clear()
    async with bench.owning(stored(concurrency=FORBID)):
        await bench.clock.advance(2 * SECOND + SECOND / 2)
        (skipped,) = bench.noted()
        assert skipped.reason_code == Execution.OVERLAP
        assert f"run {identity_at(1)} of the job was waiting for policies" in skipped.reason


async def test_a_newer_run_replaces_one_that_waits_for_policies(bench: Policed) -> None:
    bench.policies.goes_on.clear()
    link = bench.link()
    async with bench.owning(stored(concurrency=REPLACE)):
        await bench.clock.advance(2 * SECOND)
        bench.policies.goes_on.set()
        await bench.clock.advance(SECOND / 2)
        assert ids(link.sent) == [identity_at(2)]
        assert [(note.id, note.reason_code) for note in bench.noted(Execution.CANCELLED)] == [
            (identity_at(1), Execution.REPLACED)
        ]


async def test_a_run_that_waits_for_policies_can_be_cancelled(bench: Policed) -> None:
    bench.policies.goes_on.clear()
    link = bench.link()
    async with bench.owning(stored(schedule=ONCE)):
        await bench.clock.advance(SECOND)
        cancel = stored_job_pb2.StoredCancel(execution_id=identity_at(1), actor="somebody")
        bench.order(cancels=[cancel])
        await bench.clock.advance(SECOND)
        bench.policies.goes_on.set()
        await bench.clock.advance(SECOND)
        assert link.sent == []
        assert [note.id for note in bench.noted(Execution.CANCELLED)] == [identity_at(1)]


@pytest.mark.parametrize("is_deleted", [False, True])
async def test_a_run_of_a_job_that_is_disabled_or_deleted_meanwhile_does_not_begin(
    bench: Policed, is_deleted: bool
) -> None:
    bench.policies.goes_on.clear()
    link = bench.link()
    async with bench.owning(stored(schedule=ONCE)):
        await bench.clock.advance(2 * SECOND)
        if is_deleted:
            bench.change(removed=[("default", "a")])
        else:
            bench.change(stored(schedule=ONCE, version=2, enabled=False))
        await bench.clock.advance(SECOND)
        bench.policies.goes_on.set()
        await bench.clock.advance(SECOND)
        expected = Execution.DELETED if is_deleted else Execution.PAUSED
        assert [note.reason_code for note in bench.noted()] == [expected]
        assert link.sent == []


async def test_a_shard_that_is_given_up_leaves_what_waits_to_its_next_owner(bench: Policed) -> None:
    bench.policies.goes_on.clear()
    link = bench.link()
    async with bench.owning(stored(schedule=ONCE)) as runner:
        await bench.clock.advance(SECOND)
        runner.cancel()
        await bench.clock.advance(SECOND)
        bench.policies.goes_on.set()
        await bench.clock.advance(SECOND)
        assert (link.sent, bench.noted(), bench.gate.waiting, bench.quotas.running) == ([], [], 0, 0)
        assert bench.watermark() < START + SECOND


async def test_a_run_that_waited_for_its_turn_under_an_earlier_owner_is_judged(bench: Policed) -> None:
    bench.policies.judge = deny
    bench.ledger.unfinished.append(unfinished(-1, Execution.PENDING))
    link = bench.link()
    async with bench.owning(stored(schedule="@yearly")):
        await bench.clock.advance(SECOND)
        assert link.sent == []
        assert [(note.id, note.reason_code) for note in bench.noted()] == [(identity_at(-1), Execution.POLICY)]


async def test_a_run_that_was_handed_out_by_an_earlier_owner_is_not_judged_again(bench: Policed) -> None:
    bench.policies.judge = deny
    bench.ledger.unfinished.append(unfinished(-1, Execution.RUNNING))
    link = bench.link()
    async with bench.owning(stored(schedule="@yearly")):
        bench.report(link, Event.UNKNOWN, identity_at(-1))
        await bench.clock.advance(SECOND)
        assert ids(link.sent) == [identity_at(-1)]


async def test_runs_of_an_older_and_a_newer_version_begin_in_their_order(bench: Policed) -> None:
    bench.policies.goes_on.clear()
    link = bench.link()
    async with bench.owning(stored()):
        await bench.clock.advance(2 * SECOND)
        changed = stored(version=2)
        changed.effective_at.FromDatetime(bench.clock.now())
        bench.change(changed)
        await bench.clock.advance(2 * SECOND)
        bench.policies.goes_on.set()
        await bench.clock.advance(SECOND / 2)
        assert ids(link.sent) == [identity_at(second) for second in (1, 2, 3, 4)]
        assert [question.job.fields["version"].number_value for question in bench.policies.asked] == [1, 1, 2]


async def test_an_answer_that_an_earlier_owner_waited_for_says_nothing_of_the_run_that_waits_now(
    bench: Policed,
) -> None:
    bench.policies.goes_on.clear()
    run = Run(
        execution_id=PROMISED, job=firing_job(stored(), {}), shard=SHARD, epoch=EPOCH, scheduled_us=0,
        cause=Cause.MANUAL, concurrency=Concurrency.ALLOW, traceparent="",
    )  # fmt: skip
    later = replace(run, epoch=EPOCH + 1)
    heard: list[Run] = []
    async with bench.owning():
        bench.gate.on_verdict(lambda judged, answer: heard.append(judged))
        bench.gate.ask(run)
        await bench.clock.advance(SECOND)
        bench.gate.forget(SHARD)
        bench.gate.ask(later)
        bench.policies.goes_on.set()
        await bench.clock.advance(SECOND)
        assert [judged.epoch for judged in heard] == [EPOCH + 1]
        assert len(bench.policies.asked) == 2


async def test_runs_that_somebody_asked_for_do_not_overtake_those_of_others(bench: Policed) -> None:
    bench.policies.is_away = True
    promised = [PROMISED[:-1] + digit for digit in "123"]
    link = bench.link()
    async with bench.owning(stored(schedule="@yearly")):
        bench.order(triggers=[trigger(identity, actor=actor) for identity, actor in zip(promised, "aba", strict=True)])
        await bench.clock.advance(SECOND)
        bench.policies.is_away = False
        await bench.clock.advance(SECOND)
        assert ids(link.sent) == promised
