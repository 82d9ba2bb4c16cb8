"""A change of a job takes effect at its commit: what was due before runs as it was, also when it is noticed late."""

from datetime import UTC, datetime, timedelta

import pytest
from chronos.history.v1 import execution_pb2
from chronos.scheduler.v1 import job_pb2, stored_job_pb2, target_pb2, timing_pb2

from services.scheduler.domain.identity import microseconds
from services.scheduler.domain.schedule.calendar import day_set
from services.scheduler.ports.orders import ShardChange
from tests.fakes.firing import SECOND, SHARD, START, Bench, Event, Execution, identity_at, stored, times, unfinished
from tests.fakes.scheduler import FakeLink

OLD = START - timedelta(hours=1)
ALL, ONE = job_pb2.Job.EXECUTE_ALL, job_pb2.Job.EXECUTE_ONE


@pytest.fixture
def bench() -> Bench:
    bench = Bench()
    bench.shards.watermarks[SHARD] = (1, START)
    return bench


def at(seconds: float) -> datetime:
    return START + seconds * SECOND


def version(
    number: int, schedule: str = "* * * * * *", *, since: datetime, effective: datetime | None = None, **fields: object
) -> stored_job_pb2.StoredJob:
    """A version of the job `a` in force since a moment, with new times unless they are `effective` for longer."""
    message = stored("a", schedule, version=number, **fields)
    message.job.updated_at.FromDatetime(since)
    message.effective_at.FromDatetime(effective or since)
    message.counts_from.FromDatetime(effective or since)
    return message


def keep(bench: Bench, *versions: stored_job_pb2.StoredJob) -> None:
    """Lets the store know the versions of the job `a`."""
    bench.store.versions["default", "a"] = {kept.job.version: kept for kept in versions}


def bury(bench: Bench, *versions: stored_job_pb2.StoredJob, deleted_at: datetime) -> None:
    """Leaves a tombstone."""
    tombstone = stored_job_pb2.StoredTombstone(versions=versions)
    tombstone.deleted_at.FromDatetime(deleted_at)
    bench.shards.buried.append(tombstone)


def fired(link: FakeLink) -> list[tuple[float, int]]:
    """Seconds after START and versions of what a dispatcher was sent."""
    return [((moment - START) / SECOND, run.job.version) for moment, run in zip(times(link), link.sent, strict=True)]


async def test_a_takeover_runs_what_was_due_before_a_change_with_the_version_of_then(bench: Bench) -> None:
    link = bench.link()
    first = version(1, since=OLD)
    second = version(2, "*/2 * * * * *", since=at(2.5))
    keep(bench, first, second)
    await bench.clock.advance(4.5 * SECOND)
    async with bench.owning(second):
        await bench.clock.advance(2 * SECOND)
    assert fired(link) == [(1, 1), (2, 1), (4, 2), (6, 2)]


async def test_two_changes_during_an_outage_each_count_in_their_time(bench: Bench) -> None:
    link = bench.link()
    versions = [
        version(1, since=OLD),
        version(2, "*/2 * * * * *", since=at(2.5)),
        version(3, "*/3 * * * * *", since=at(4.5)),
    ]
    keep(bench, *versions)
    await bench.clock.advance(7 * SECOND)
    async with bench.owning(versions[-1]):
        await bench.clock.advance(2 * SECOND)
    assert fired(link) == [(1, 1), (2, 1), (4, 2), (6, 3), (9, 3)]


async def test_a_moment_belongs_to_one_version_when_a_change_falls_on_it(bench: Bench) -> None:
    link = bench.link()
    first, second = version(1, since=OLD), version(2, since=at(2), effective=OLD, timezone="Europe/Berlin")
    keep(bench, first, second)
    await bench.clock.advance(3.5 * SECOND)
    async with bench.owning(second):
        await bench.clock.advance(SECOND)
    assert fired(link) == [(1, 1), (2, 1), (3, 2), (4, 2)]


async def test_what_an_earlier_owner_recorded_is_not_repeated_around_a_change(bench: Bench) -> None:
    link = bench.link()
    first, second = version(1, since=OLD), version(2, since=at(2.5))
    keep(bench, first, second)
    bench.ledger.recorded = {identity_at(1), identity_at(3)}
    await bench.clock.advance(3.5 * SECOND)
    async with bench.owning(second):
        await bench.clock.advance(SECOND / 10)
    assert fired(link) == [(2, 1)]


async def test_a_change_that_the_owner_before_did_not_know_is_not_lost_below_its_watermark(bench: Bench) -> None:
    link = bench.link()
    bench.shards.watermarks[SHARD] = (1, at(4))
    bench.ledger.recorded = {identity_at(2), identity_at(4)}
    first, second = version(1, "*/2 * * * * *", since=OLD), version(2, since=at(2.5))
    keep(bench, first, second)
    await bench.clock.advance(5.5 * SECOND)
    async with bench.owning(second):
        await bench.clock.advance(SECOND / 10)
        assert bench.ledger.seals[0][2] == at(2.5)
        assert fired(link) == [(3, 2), (5, 2)]


async def test_a_new_job_that_the_owner_before_did_not_know_is_not_lost_below_its_watermark(bench: Bench) -> None:
    link = bench.link()
    bench.shards.watermarks[SHARD] = (1, at(4))
    await bench.clock.advance(4.5 * SECOND)
    async with bench.owning(version(1, "3 * * * * *", since=at(2.5)), stored("b")):
        await bench.clock.advance(SECOND / 10)
        assert [run.scheduled_us for run in link.sent if run.job.id == "a"] == [microseconds(at(3))]


async def test_disabling_during_an_outage_leaves_what_was_due_before(bench: Bench) -> None:
    link = bench.link()
    first, second = version(1, since=OLD), version(2, since=at(2.5), effective=OLD, enabled=False)
    keep(bench, first, second)
    await bench.clock.advance(4.5 * SECOND)
    async with bench.owning(second):
        await bench.clock.advance(2 * SECOND)
    assert fired(link) == [(1, 1), (2, 1)]
    assert bench.noted() == []


async def test_disabling_and_enabling_during_an_outage_skips_the_pause_only(bench: Bench) -> None:
    link = bench.link()
    first, second = version(1, since=OLD), version(2, since=at(1.5), effective=OLD, enabled=False)
    third = version(3, since=at(3.5))
    third.disabled_at.FromDatetime(at(1.5))
    keep(bench, first, second, third)
    await bench.clock.advance(4.5 * SECOND)
    async with bench.owning(third):
        await bench.clock.advance(SECOND / 2)
        (paused,) = bench.noted()
        assert (paused.id, paused.skipped_count) == (identity_at(2), 2)
    assert fired(link) == [(1, 1), (4, 3), (5, 3)]


async def test_deleting_during_an_outage_leaves_what_was_due_before(bench: Bench) -> None:
    link = bench.link()
    bury(bench, version(1, since=OLD), version(2, "*/2 * * * * *", since=at(2.5)), deleted_at=at(5))
    await bench.clock.advance(7 * SECOND)
    async with bench.owning():
        await bench.clock.advance(2 * SECOND)
        assert fired(link) == [(1, 1), (2, 1), (4, 2)]
        assert bench.watermark() < at(1)
        bench.report(link, Event.FINISHED, *(identity_at(second) for second in (1, 2, 4)))
        await bench.clock.advance(90 * SECOND)
        assert bench.watermark() > at(90)
        await bench.clock.advance(30 * SECOND)
        assert bench.shards.buried == []


async def test_a_job_that_has_the_id_of_a_deleted_one_is_another_job(bench: Bench) -> None:
    link = bench.link()
    bury(bench, version(1, since=OLD), deleted_at=at(2.5))
    again = version(1, since=at(3.5), uid="uid-again")
    await bench.clock.advance(5.5 * SECOND)
    async with bench.owning(again):
        await bench.clock.advance(SECOND)
    ran = [(run.job.uid, (moment - START) / SECOND) for moment, run in zip(times(link), link.sent, strict=True)]
    assert ran == [("uid-a", 1), ("uid-a", 2), ("uid-again", 4), ("uid-again", 5), ("uid-again", 6)]


async def test_what_a_living_owner_is_late_with_still_runs_as_it_was_when_the_job_changes(bench: Bench) -> None:
    link = bench.link()
    first = version(1, since=OLD)
    async with bench.owning(first):
        bench.is_trusted = False
        await bench.clock.advance(2.5 * SECOND)
        bench.change(version(2, "*/2 * * * * *", since=at(2.4)))
        await bench.clock.advance(1.7 * SECOND)
        bench.is_trusted = True
        await bench.clock.advance(SECOND)
    assert fired(link) == [(1, 1), (2, 1), (4, 2)]


async def test_what_a_living_owner_is_late_with_still_runs_when_the_job_is_disabled(bench: Bench) -> None:
    link = bench.link()
    async with bench.owning(version(1, since=OLD)):
        bench.is_trusted = False
        await bench.clock.advance(2.5 * SECOND)
        bench.change(version(2, since=at(1.5), effective=OLD, enabled=False))
        await bench.clock.advance(SECOND)
        bench.is_trusted = True
        await bench.clock.advance(SECOND)
    assert fired(link) == [(1, 1)]


async def test_what_a_living_owner_is_late_with_still_runs_when_the_job_is_deleted(bench: Bench) -> None:
    link = bench.link()
    first = version(1, since=OLD)
    async with bench.owning(first):
        bench.is_trusted = False
        await bench.clock.advance(3.5 * SECOND)
        bury(bench, first, deleted_at=at(2.5))
        bench.change(version(1, since=at(3.2), uid="uid-again"), removed=[("default", "a")])
        await bench.clock.advance(SECOND)
        bench.is_trusted = True
        await bench.clock.advance(SECOND / 10)
        ran = sorted(
            (run.job.uid, (moment - START) / SECOND) for moment, run in zip(times(link), link.sent, strict=True)
        )
        assert ran == [("uid-a", 1), ("uid-a", 2), ("uid-again", 4)]
        assert len(bench.timeline) == 1


async def test_a_version_that_is_learned_of_late_runs_from_its_beginning_and_repeats_nothing(bench: Bench) -> None:
    link = bench.link()
    async with bench.owning(version(1, "*/2 * * * * *", since=OLD)):
        await bench.clock.advance(4.5 * SECOND)
        bench.report(link, Event.FINISHED, identity_at(2), identity_at(4))
        bench.change(version(2, since=at(1.5)))
        await bench.clock.advance(SECOND)
        assert fired(link) == [(2, 1), (4, 1), (3, 2), (5, 2)]
        assert at(2) <= bench.watermark() < at(3)
        bench.report(link, Event.FINISHED, identity_at(3), identity_at(5))
        await bench.clock.advance(SECOND)
        assert bench.watermark() > at(5)


async def test_a_job_that_is_learned_of_late_runs_from_its_beginning(bench: Bench) -> None:
    link = bench.link()
    async with bench.owning():
        await bench.clock.advance(4 * SECOND)
        bench.change(version(1, "3 * * * * *", since=at(2.5)))
        await bench.clock.advance(SECOND / 10)
    assert fired(link) == [(3, 1)]


async def test_a_fresh_listing_shows_only_the_last_version_and_the_one_between_still_counts(bench: Bench) -> None:
    link = bench.link()
    versions = [version(1, since=OLD), version(2, "*/2 * * * * *", since=at(2.5)), version(3, since=at(4.5))]
    keep(bench, *versions)
    async with bench.owning(versions[0]):
        await bench.clock.advance(2.2 * SECOND)
        bench.is_trusted = False
        await bench.clock.advance(3.3 * SECOND)
        bench.shards.job_changes.put_nowait(ShardChange(is_complete=True, jobs=[versions[-1]]))
        await bench.clock.advance(SECOND / 10)
        bench.is_trusted = True
        await bench.clock.advance(SECOND / 10)
    assert fired(link) == [(1, 1), (2, 1), (4, 2), (5, 3)]


async def test_an_older_version_that_comes_later_changes_nothing(bench: Bench) -> None:
    link = bench.link()
    async with bench.owning(version(3, "*/2 * * * * *", since=OLD)):
        bench.change(version(2, since=OLD))
        await bench.clock.advance(2.5 * SECOND)
    assert fired(link) == [(2, 3)]


async def test_of_runs_missed_before_and_after_a_change_only_the_latest_runs(bench: Bench) -> None:
    link = bench.link()
    hour = timedelta(hours=1)
    first = version(1, "@hourly", since=OLD, missed_run_policy=ONE)
    second = version(2, "@hourly", since=START + 2.5 * hour, effective=OLD, missed_run_policy=ONE)
    keep(bench, first, second)
    await bench.clock.advance(4.5 * hour)
    async with bench.owning(second):
        await bench.clock.advance(SECOND)
        (skipped,) = bench.noted()
        assert (skipped.reason_code, skipped.skipped_count) == (Execution.MISSED, 3)
    assert times(link) == [START + 4 * hour]
    assert link.sent[0].job.version == 2


async def test_missed_runs_are_made_up_for_by_the_rules_of_their_own_version(bench: Bench) -> None:
    link = bench.link()
    hour = timedelta(hours=1)
    first = version(1, "@hourly", since=OLD, missed_run_policy=ALL)
    first.job.catch_up.interval.FromTimedelta(timedelta(0))
    second = version(2, "@hourly", since=START + 2.5 * hour, effective=OLD, missed_run_policy=ONE)
    keep(bench, first, second)
    await bench.clock.advance(5.5 * hour)
    async with bench.owning(second):
        await bench.clock.advance(SECOND)
    assert [(moment - START) / hour for moment in times(link)] == [1, 2, 5]
    assert [run.job.version for run in link.sent] == [1, 1, 2]


async def test_what_is_too_late_of_a_disabled_job_is_explained_and_does_not_run(bench: Bench) -> None:
    link = bench.link()
    hour = timedelta(hours=1)
    first = version(1, "@hourly", since=OLD)
    second = version(2, "@hourly", since=START + 2.5 * hour, effective=OLD, enabled=False)
    keep(bench, first, second)
    await bench.clock.advance(5.5 * hour)
    async with bench.owning(second):
        await bench.clock.advance(SECOND)
        (skipped,) = bench.noted()
        assert (skipped.reason_code, skipped.skipped_count) == (Execution.PAUSED, 2)
        assert bench.watermark() > START + 5 * hour
    assert link.sent == []


async def test_what_is_too_late_of_a_deleted_job_is_explained_and_does_not_run(bench: Bench) -> None:
    link = bench.link()
    hour = timedelta(hours=1)
    bury(bench, version(1, "@hourly", since=OLD), deleted_at=START + 2.5 * hour)
    await bench.clock.advance(5.5 * hour)
    async with bench.owning():
        await bench.clock.advance(SECOND)
        (skipped,) = bench.noted()
        assert (skipped.reason_code, skipped.skipped_count) == (Execution.DELETED, 2)
    assert link.sent == []


async def test_disabling_ends_the_making_up_for_missed_runs_with_a_reason(bench: Bench) -> None:
    link = bench.link()
    hour = timedelta(hours=1)
    first = version(1, "@hourly", since=OLD, missed_run_policy=ALL)
    first.job.catch_up.interval.FromTimedelta(10 * SECOND)
    await bench.clock.advance(4.5 * hour)
    async with bench.owning(first):
        await bench.clock.advance(SECOND)
        bench.change(version(2, "@hourly", since=bench.clock.now(), effective=OLD, enabled=False))
        await bench.clock.advance(60 * SECOND)
        assert times(link) == [START + hour]
        (skipped,) = bench.noted()
        assert (skipped.reason_code, skipped.skipped_count) == (Execution.PAUSED, 3)
        bench.report(link, Event.FINISHED, identity_at(3600))
        await bench.clock.advance(SECOND)
        assert bench.watermark() > START + 4 * hour


async def test_a_change_while_missed_runs_are_made_up_for_does_not_hold_the_watermark_until_the_next_run(
    bench: Bench,
) -> None:
    link = bench.link()
    hour = timedelta(hours=1)
    first = version(1, "@hourly", since=OLD, missed_run_policy=ALL)
    first.job.catch_up.interval.FromTimedelta(10 * SECOND)
    await bench.clock.advance(3.5 * hour)
    async with bench.owning(first):
        await bench.clock.advance(SECOND)
        bench.change(version(2, "@yearly", since=bench.clock.now(), missed_run_policy=ALL))
        await bench.clock.advance(30 * SECOND)
        assert times(link) == [START + n * hour for n in (1, 2, 3)]
        bench.report(link, Event.FINISHED, *(identity_at(n * 3600) for n in (1, 2, 3)))
        await bench.clock.advance(SECOND)
        assert bench.watermark() > START + 3.5 * hour


async def test_what_a_calendar_took_out_of_an_old_version_is_explained_up_to_the_change(bench: Bench) -> None:
    bench.calendars.days["new-year"] = day_set(["01-01"], "", [])
    calendars = timing_pb2.CalendarRule(exclude=["new-year"])
    first = version(1, "*/10 * * * * *", since=OLD, calendars=calendars)
    second = version(2, "*/10 * * * * *", since=at(35))
    keep(bench, first, second)
    link = bench.link()
    await bench.clock.advance(45 * SECOND)
    async with bench.owning(second):
        await bench.clock.advance(SECOND)
        (skipped,) = bench.noted()
        assert skipped.reason_code == Execution.CALENDAR
        assert skipped.skipped_until.ToDatetime(START.tzinfo) == at(30)
    assert fired(link) == [(40, 2)]


async def test_an_occurrence_at_the_moment_of_enabling_belongs_to_the_pause(bench: Bench) -> None:
    link = bench.link()
    first = version(1, since=OLD)
    async with bench.owning(first):
        bench.is_trusted = False
        second = version(2, since=at(1), effective=OLD, enabled=False)
        third = version(3, since=at(3))
        third.disabled_at.FromDatetime(at(1))
        await bench.clock.advance(3.5 * SECOND)
        bench.change(second, third)
        await bench.clock.advance(SECOND / 10)
        bench.is_trusted = True
        await bench.clock.advance(SECOND)
        (paused,) = bench.noted()
        assert (paused.id, paused.skipped_count) == (identity_at(2), 2)
    assert fired(link) == [(1, 1), (4, 3)]


async def test_a_job_that_is_deleted_while_its_shard_is_taken_over_runs_once(bench: Bench) -> None:
    link = bench.link()
    first = version(1, since=OLD)
    bury(bench, first, deleted_at=at(2.5))
    await bench.clock.advance(2.7 * SECOND)
    async with bench.owning(first):
        bench.change(removed=[("default", "a")])
        await bench.clock.advance(2 * SECOND)
    assert fired(link) == [(1, 1), (2, 1)]


@pytest.mark.parametrize("is_listed", [False, True], ids=["as it was changed and deleted", "as a listing without it"])
async def test_versions_that_came_with_the_deletion_end_the_job_in_their_time(bench: Bench, is_listed: bool) -> None:
    link = bench.link()
    first, second = version(1, since=OLD), version(2, since=at(1.5), effective=OLD, enabled=False)
    async with bench.owning(first):
        bench.is_trusted = False
        await bench.clock.advance(3.5 * SECOND)
        bury(bench, first, second, deleted_at=at(3))
        if not is_listed:
            bench.change(second)
        bench.shards.job_changes.put_nowait(
            ShardChange(is_complete=is_listed, removed=[] if is_listed else [("default", "a")])
        )
        await bench.clock.advance(SECOND / 10)
        bench.is_trusted = True
        await bench.clock.advance(SECOND)
        bench.report(link, Event.FINISHED, identity_at(1))
        await bench.clock.advance(SECOND)
        assert bench.watermark() > at(4)
    assert fired(link) == [(1, 1)]


@pytest.mark.parametrize(
    ("known", "unheard"),
    [
        (None, [version(1, since=at(1.5))]),
        (None, [version(1, "@yearly", since=at(0.5)), version(2, since=at(1.5))]),
        (version(1, "@yearly", since=OLD), [version(1, "@yearly", since=OLD), version(2, since=at(1.5))]),
        (version(1, since=OLD, enabled=False), [version(2, since=at(1.5), effective=OLD)]),
        (version(1, since=OLD, uid="uid-before", enabled=False), [version(1, since=at(1.5))]),
    ],
    ids=["new", "new, and changed", "not due for long", "at rest", "another with its name"],
)
@pytest.mark.parametrize("is_again", [False, True], ids=["gone", "there again"])
async def test_what_a_job_had_due_by_a_version_that_only_its_tombstone_tells_of_still_runs(
    bench: Bench,
    known: stored_job_pb2.StoredJob | None,
    unheard: list[stored_job_pb2.StoredJob],
    is_again: bool,
) -> None:
    link = bench.link()
    again = [version(1, since=at(4.2), uid="uid-again")] if is_again else []
    other = stored("b", "@yearly")
    async with bench.owning(other, *([known] if known else [])):
        await bench.clock.advance(4.5 * SECOND)
        if known is not None and known.job.uid != unheard[0].job.uid:
            bury(bench, known, deleted_at=at(1))
        bury(bench, *unheard, deleted_at=at(3.5))
        bench.shards.job_changes.put_nowait(ShardChange(is_complete=True, jobs=[other, *again]))
        await bench.clock.advance(SECOND)
        ran = sorted(
            (run.job.uid, (moment - START) / SECOND) for moment, run in zip(times(link), link.sent, strict=True)
        )
        assert ran == [("uid-a", 2), ("uid-a", 3), *([("uid-again", 5)] if is_again else [])]
        assert at(1) < bench.watermark() < at(2)
        bench.report(link, Event.FINISHED, *(run.execution_id for run in link.sent))
        await bench.clock.advance(SECOND)
        assert bench.watermark() > at(5)


async def test_a_job_whose_tombstone_is_read_before_it_comes_runs_once(bench: Bench) -> None:
    link = bench.link()
    brief = version(1, since=at(1.5))
    async with bench.owning():
        await bench.clock.advance(2.5 * SECOND)
        bury(bench, brief, deleted_at=at(2.2))
        bench.shards.job_changes.put_nowait(ShardChange(is_complete=True))
        bench.change(brief)
        bench.change(removed=[("default", "a")])
        await bench.clock.advance(2 * SECOND)
    assert fired(link) == [(2, 1)]


async def test_clocks_that_differ_let_nothing_run_after_a_job_was_disabled_or_deleted_and_explain_it(
    bench: Bench,
) -> None:
    link = bench.link()
    other = version(1, since=OLD, id="b", uid="uid-b")
    async with bench.owning(version(1, since=OLD), other):
        await bench.clock.advance(1.5 * SECOND)
        bury(bench, other, deleted_at=at(5))
        bench.change(version(2, since=at(5), effective=OLD, enabled=False), removed=[("default", "b")])
        await bench.clock.advance(10 * SECOND)
        told = [(note.job_id, note.reason_code, note.scheduled_time.ToDatetime(UTC)) for note in bench.noted()]
        assert sorted(told) == [("a", Execution.PAUSED, at(2)), ("b", Execution.DELETED, at(2))]
        assert [note.skipped_count for note in bench.noted()] == [4, 4]
    assert fired(link) == [(1, 1), (1, 1)]


async def test_what_an_owner_ran_before_its_clock_was_set_back_is_not_explained_as_disabled(bench: Bench) -> None:
    link = bench.link()
    async with bench.owning(version(1, since=OLD)):
        await bench.clock.advance(3.5 * SECOND)
        bench.clock.jump(-2.2 * SECOND)
        bench.change(version(2, since=at(4.1), effective=OLD, enabled=False))
        await bench.clock.advance(5 * SECOND)
        (told,) = bench.noted()
        assert told.scheduled_time.ToDatetime(UTC) == at(4)
    assert fired(link) == [(1, 1), (2, 1), (3, 1)]


def begun(status: "execution_pb2.Execution.Status.ValueType", *, job_version: int) -> execution_pb2.Execution:
    """A run of second -10 that an earlier owner began with a version of the job."""
    execution = unfinished(-10, status)
    execution.job_version = job_version
    return execution


@pytest.mark.parametrize("status", [Execution.RUNNING, Execution.PENDING])
async def test_a_run_that_was_begun_goes_on_with_the_version_of_then(
    bench: Bench, status: "execution_pb2.Execution.Status.ValueType"
) -> None:
    link = bench.link()
    first = version(1, "@every 1h", since=OLD, webhook=target_pb2.WebhookTarget(url="https://example.com/then"))
    second = version(2, "@hourly", since=at(-5), webhook=target_pb2.WebhookTarget(url="https://example.com/now"))
    keep(bench, first, second)
    bench.ledger.unfinished = [begun(status, job_version=1)]
    async with bench.owning(second):
        bench.report(link, Event.UNKNOWN, identity_at(-10))
        (run,) = [run for run in link.sent if run.execution_id == identity_at(-10)]
    assert run.job.version == 1
    assert job_pb2.Job.FromString(run.job.definition).webhook.url == "https://example.com/then"


@pytest.mark.parametrize("kept", [2, 1])
async def test_a_run_whose_version_is_not_kept_goes_on_with_the_job_as_it_is(bench: Bench, kept: int) -> None:
    link = bench.link()
    earlier = version(1, since=OLD)
    earlier.job.uid = "of a job of the same name before"
    second = version(2, "@hourly", since=at(-5))
    keep(bench, *([second] if kept == 2 else [earlier, second]))
    bench.ledger.unfinished = [begun(Execution.RUNNING, job_version=1)]
    async with bench.owning(second):
        bench.report(link, Event.UNKNOWN, identity_at(-10))
        (run,) = [run for run in link.sent if run.execution_id == identity_at(-10)]
    assert run.job.version == 2
