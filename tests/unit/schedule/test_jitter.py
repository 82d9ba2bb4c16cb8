"""Delays that spread runs."""

from datetime import UTC, datetime, timedelta

from services.scheduler.domain.schedule.jitter import delay
from services.scheduler.domain.schedule.job_schedule import build_schedule
from services.scheduler.domain.schedule.spec import ScheduleSpec

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def test_a_delay_depends_on_job_and_time_alone_and_is_pinned() -> None:
    hour = timedelta(hours=1)
    assert delay("team/a", BEGIN, hour) == delay("team/a", BEGIN, hour)
    assert delay("team/a", BEGIN, hour) != delay("team/b", BEGIN, hour)
    assert delay("team/a", BEGIN, hour) != delay("team/a", BEGIN + hour, hour)
    assert delay("team/a", BEGIN, hour) == timedelta(milliseconds=2_046_267)  # released versions must not move jobs


def test_delays_are_spread_evenly_over_the_span_and_never_reach_it() -> None:
    delays = [delay(f"team/{number}", BEGIN, timedelta(seconds=10)) for number in range(5000)]
    assert min(delays) >= timedelta(0)
    assert max(delays) < timedelta(seconds=10)
    for tenth in range(10):
        inside = [each for each in delays if tenth <= each.total_seconds() < tenth + 1]
        assert 400 < len(inside) < 600


def test_runs_never_overtake_each_other() -> None:
    spec = ScheduleSpec(expression="*/2 * * * *", jitter=timedelta(hours=24), seed="team/a", anchor=BEGIN)
    schedule, moment = build_schedule(spec, {}), BEGIN
    for _ in range(500):
        following = schedule.next_after(moment)
        assert following is not None
        assert following > moment
        origin = schedule.origin(following).nominal
        assert origin <= following < origin + timedelta(minutes=2)
        moment = following
