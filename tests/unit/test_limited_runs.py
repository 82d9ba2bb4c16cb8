"""Runs whose targets have limits go to one dispatcher, which can keep to them."""

from chronos.dispatcher.v1 import delivery_service_pb2
from chronos.history.v1 import execution_pb2
from chronos.scheduler.v1 import stored_job_pb2, target_limits_pb2

from tests.fakes.firing import SECOND, Bench, ids, stored
from tests.fakes.scheduler import FakeLink

NAMES = ("a", "b", "c", "d", "e", "f", "g", "h")


def jobs(limit_name: str = "") -> list[stored_job_pb2.StoredJob]:
    limits = target_limits_pb2.TargetLimits(max_concurrent=1, name=limit_name)
    return [stored(name, limits=limits) for name in NAMES]


def keepers(*links: FakeLink) -> dict[str, set[str]]:
    """Who was sent runs of each job."""
    found: dict[str, set[str]] = {}
    for link in links:
        for run in link.sent:
            found.setdefault(run.job.id, set()).add(link.instance)
    return found


async def test_all_runs_of_a_limited_job_go_to_one_dispatcher_and_the_jobs_spread() -> None:
    bench = Bench()
    links = [bench.link("d1"), bench.link("d2")]
    async with bench.owning(*jobs()):
        await bench.clock.advance(5.5 * SECOND)
    found = keepers(*links)
    assert set(found) == set(NAMES)
    assert all(len(names) == 1 for names in found.values())
    assert {name for names in found.values() for name in names} == {"d1", "d2"}


async def test_jobs_that_share_limits_go_to_the_same_dispatcher() -> None:
    bench = Bench()
    links = [bench.link("d1"), bench.link("d2"), bench.link("d3")]
    async with bench.owning(*jobs("crm")):
        await bench.clock.advance(2.5 * SECOND)
    assert len({name for names in keepers(*links).values() for name in names}) == 1


async def test_schedulers_agree_without_talking() -> None:
    found = []
    for order in (("d1", "d2", "d3"), ("d3", "d1", "d2")):
        bench = Bench()
        links = [bench.link(name) for name in order]
        async with bench.owning(*jobs()):
            await bench.clock.advance(1.5 * SECOND)
        found.append(keepers(*links))
    assert found[0] == found[1]


async def test_when_the_keeper_goes_another_one_gets_its_runs_and_those_of_others_stay() -> None:
    bench = Bench()
    first, second = bench.link("d1"), bench.link("d2")
    async with bench.owning(*jobs()):
        await bench.clock.advance(1.5 * SECOND)
        stayed = {run.job.id for run in second.sent}
        bench.outbox.link_broken(first)
        bench.outbox.dispatcher_gone("d1")
        await bench.clock.advance(SECOND)
    assert set(keepers(second)) == set(NAMES)
    assert stayed < set(NAMES)
    again = [run.execution_id for run in first.sent]
    assert set(again) <= set(ids(second.sent))


async def test_a_keeper_without_credit_holds_up_nobody_else() -> None:
    bench = Bench()
    links = [bench.link("d1", credit=0), bench.link("d2")]
    plain = stored("plain")
    async with bench.owning(*jobs(), plain):
        await bench.clock.advance(1.5 * SECOND)
        waiting = set(bench.outbox.queued_ids())
        assert waiting
        assert "plain" in keepers(*links)
        bench.outbox.link_answered(links[0], delivery_service_pb2.DeliverResponse(credit=100))
        assert not bench.outbox.queued_ids()
        assert waiting == set(ids(links[0].sent))


async def test_what_waits_for_its_keeper_can_be_cancelled_and_is_forgotten_with_its_shard() -> None:
    bench = Bench()
    bench.link("d1", credit=0)
    async with bench.owning(*jobs()):
        await bench.clock.advance(1.5 * SECOND)
        first = min(bench.outbox.queued_ids())
        assert bench.outbox.cancel(first, reason="stopped", code=execution_pb2.Execution.CANCELLED_BY_USER)
        assert first not in bench.outbox.queued_ids()
    assert not bench.outbox.queued_ids()
