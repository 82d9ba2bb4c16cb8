"""What rules see of a job."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from chronos.policy.v1 import decision_service_pb2, policy_pb2
from chronos.scheduler.v1 import (
    grpc_target_pb2,
    job_pb2,
    kafka_target_pb2,
    nats_target_pb2,
    rabbitmq_target_pb2,
    stored_job_pb2,
    target_pb2,
    timing_pb2,
    websocket_target_pb2,
)

from services.scheduler.adapters.target_hosts import SystemTargetHosts
from services.scheduler.convert.firing import job_schedule
from services.scheduler.domain.schedule.calendar import WEEKENDS, day_set
from services.scheduler.domain.schedule.job_schedule import JobSchedule
from services.scheduler.jobs.resource import with_defaults
from services.scheduler.policies import timings
from services.scheduler.policies.facts import EVERYTHING, calendars_today, hosts_of, is_private, timing_of
from services.scheduler.policies.questions import Subject, one_job
from tests.fakes.clock import FakeClock
from tests.fakes.policies import FakeLoads, GuardParts

NOW = datetime(2026, 1, 5, 12, 30, tzinfo=UTC)  # a Monday
CREATE = policy_pb2.Policy.CREATE


def stored_job(**fields: object) -> stored_job_pb2.StoredJob:
    job = job_pb2.Job(name="Report", webhook=target_pb2.WebhookTarget(url="https://a.example/x"))
    job.MergeFrom(job_pb2.Job(**fields))  # type: ignore[arg-type]
    stored = stored_job_pb2.StoredJob(job=with_defaults(job))
    stored.counts_from.FromDatetime(NOW)
    stored.job.created_at.FromDatetime(NOW)
    return stored


@pytest.mark.parametrize(
    ("schedule", "shortest", "most"),
    [
        ("* * * * * *", timedelta(seconds=1), 86_400),
        ("*/10 * * * * *", timedelta(seconds=10), 8_640),
        ("* * * * *", timedelta(minutes=1), 1_440),
        ("0 3 * * *", timedelta(days=1), 1),
        ("0 9,10 * * MON-FRI", timedelta(hours=1), 2),
        # Nothing for days, then a burst: a look at the next days alone would miss it.
        ("* * * * SUN", timedelta(minutes=1), 1_440),
        ("*/5 * 1 * *", timedelta(minutes=5), 288),
        ("0 0 29 2 *", timedelta(days=4 * 365 + 1), 1),
        ("@every 90s", timedelta(seconds=90), 960),
    ],
)
def test_timing_is_that_of_the_real_schedule(schedule: str, shortest: timedelta, most: int) -> None:
    found = job_schedule(stored_job(schedule=schedule), {})
    assert found is not None
    timing = timing_of(found, NOW)
    assert timing is not None
    assert (timing.shortest_interval.ToTimedelta(), timing.runs_per_day) == (shortest, most)


def test_a_day_that_is_an_hour_short_has_no_more_runs_than_others() -> None:
    schedule = job_schedule(stored_job(schedule="0 3 * * *", timezone="Europe/Berlin"), {})
    assert schedule is not None
    timing = timing_of(schedule, datetime(2026, 3, 27, tzinfo=UTC))
    assert timing is not None
    assert (timing.shortest_interval.ToTimedelta(), timing.runs_per_day) == (timedelta(hours=23), 1)


def test_windows_thin_the_runs_out() -> None:
    window = timing_pb2.Window(start="09:00", end="09:10")
    schedule = job_schedule(stored_job(schedule="* * * * *", active_windows=[window]), {})
    assert schedule is not None
    timing = timing_of(schedule, NOW)
    assert timing is not None
    assert timing.runs_per_day == 10


def test_a_single_run_has_no_interval_and_a_schedule_that_is_over_no_timing() -> None:
    schedule = job_schedule(stored_job(schedule="@at 2026-02-01T00:00:00Z"), {})
    assert schedule is not None
    timing = timing_of(schedule, NOW)
    assert timing is not None
    assert timing.runs_per_day == 1
    assert not timing.HasField("shortest_interval")
    assert timing_of(schedule, datetime(2026, 3, 1, tzinfo=UTC)) is None


def test_calendars_are_those_with_today_in_the_zone_of_the_job() -> None:
    sets = {"weekends": WEEKENDS, "holidays": day_set(["2026-01-05"], "", [])}
    assert calendars_today(sets, NOW, "UTC") == ["holidays"]
    late = datetime(2026, 1, 9, 23, 30, tzinfo=UTC)  # Saturday in Berlin
    assert calendars_today(sets, late, "Europe/Berlin") == ["weekends"]
    assert calendars_today(sets, late, "Mars/Olympus") == []


@pytest.mark.parametrize(
    ("fields", "hosts"),
    [
        (
            {"webhook": target_pb2.WebhookTarget(url="https://user@API.Example.com:8443/x?y=@evil.example")},
            ["api.example.com"],
        ),
        ({"webhook": target_pb2.WebhookTarget(url="http://[::1]:80/")}, ["::1"]),
        ({"webhook": target_pb2.WebhookTarget(url="http://[oops/")}, []),
        ({"grpc": grpc_target_pb2.GrpcTarget(address="billing.example:443")}, ["billing.example"]),
        ({"grpc": grpc_target_pb2.GrpcTarget(address="[2001:db8::1]:50051")}, ["2001:db8::1"]),
        ({"kafka": kafka_target_pb2.KafkaTarget(brokers=["k1:9092", "k2:9092", "k1:9093"])}, ["k1", "k2"]),
        ({"nats": nats_target_pb2.NatsTarget(url="nats://n1:4222, nats://n2:4222")}, ["n1", "n2"]),
        ({"rabbitmq": rabbitmq_target_pb2.RabbitmqTarget(url="amqps://mq.example/%2F")}, ["mq.example"]),
        ({"websocket": websocket_target_pb2.WebsocketTarget()}, []),
    ],
)
def test_every_kind_of_target_says_its_hosts(fields: dict[str, object], hosts: list[str]) -> None:
    assert hosts_of(job_pb2.Job(**fields)) == hosts  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("10.1.2.3", True), ("127.0.0.1", True), ("169.254.169.254", True), ("192.168.0.1", True), ("::1", True),
        ("fe80::1%eth0", True), ("fd00::1", True), ("::ffff:10.0.0.1", True), ("0.0.0.0", True), ("100.64.0.1", True),
        ("2002:a00:1::", True), ("224.0.0.1", True), ("8.8.8.8", False), ("2606:4700::1", False),
        ("::ffff:8.8.8.8", False), ("no address", False),
    ],
)  # fmt: skip
def test_private_is_what_the_internet_does_not_lead_to(address: str, expected: bool) -> None:
    assert is_private(address) is expected


async def test_only_the_facts_that_rules_look_at_are_gathered() -> None:
    parts = GuardParts()
    subject = Subject(operation=CREATE, namespace="default", stored=stored_job(schedule="0 3 * * *"))
    question = await parts.questions.of(subject, frozenset())
    assert parts.hosts.asked == []
    assert not any(question.HasField(name) for name in ("timing", "endpoint", "load"))
    assert not question.calendars


async def test_all_facts_are_gathered_when_rules_look_at_them() -> None:
    parts = GuardParts()
    parts.hosts.known = {"a.example": "10.0.0.7"}
    parts.loads.load.CopyFrom(FakeLoads(2, 5).load)
    parts.calendars.days["always"] = day_set([], "1-7", [])
    subject = Subject(
        operation=CREATE, namespace="default", stored=stored_job(schedule="0 3 * * *"), extent=one_job(runs=4)
    )
    question = await parts.questions.of(subject, EVERYTHING)
    assert question.timing.runs_per_day == 1
    assert (list(question.endpoint.hosts), list(question.endpoint.addresses)) == (["a.example"], ["10.0.0.7"])
    assert question.endpoint.is_private
    assert (question.load.job_runs, question.load.namespace_runs) == (2, 5)
    assert "always" in question.calendars
    assert (question.extent.jobs, question.extent.runs) == (1, 4)


async def test_a_host_that_is_not_found_has_no_address_and_is_not_private() -> None:
    parts = GuardParts()
    subject = Subject(operation=CREATE, namespace="default", stored=stored_job())
    question = await parts.questions.of(subject, EVERYTHING)
    assert (list(question.endpoint.hosts), list(question.endpoint.addresses)) == (["a.example"], [])
    assert not question.endpoint.is_private
    assert not question.HasField("timing")


async def test_jobs_that_fire_together_are_looked_at_once_and_others_by_themselves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked: list[str] = []

    def look(schedule: JobSchedule, now: datetime) -> decision_service_pb2.Timing | None:
        looked.append(str(now))
        return timing_of(schedule, now)

    monkeypatch.setattr(timings, "timing_of", look)
    found = timings.Timings()
    for job_id in ("a", "b", "c"):
        for schedule in ("0 3 * * *", "0 4 * * *", "H 3 * * *"):
            timing = await found.of(stored_job(id=job_id, schedule=schedule), {}, NOW)
            assert timing is not None
            assert timing.runs_per_day == 1
    assert len(looked) == 2 + 3
    await found.of(stored_job(schedule="0 3 * * *"), {}, NOW + timedelta(minutes=1))
    assert len(looked) == 6


async def test_another_content_of_a_calendar_is_another_timing() -> None:
    found = timings.Timings()
    stored = stored_job(schedule="0 3 * * *")
    stored.job.calendars.include.append("days")
    weekly = await found.of(stored, {"days": day_set([], "MON", [])}, NOW)
    daily = await found.of(stored, {"days": day_set([], "1-7", [])}, NOW)
    assert weekly is not None
    assert daily is not None
    intervals = (weekly.shortest_interval.ToTimedelta(), daily.shortest_interval.ToTimedelta())
    assert intervals == (timedelta(days=7), timedelta(days=1))


async def test_a_schedule_that_cannot_be_read_has_no_timing() -> None:
    subject = Subject(operation=CREATE, namespace="default", stored=stored_job(schedule="nonsense"))
    assert not (await GuardParts().questions.of(subject, EVERYTHING)).HasField("timing")


async def test_the_system_finds_literal_addresses_however_they_are_written() -> None:
    found = await SystemTargetHosts(FakeClock()).addresses(["127.0.0.1", "::1", "2130706433", "127.0.0.1"])
    assert found == ["127.0.0.1", "::1"]


async def test_a_host_is_looked_up_once_for_many_that_ask_and_again_after_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []

    async def look_up(host: str, port: None, **options: object) -> list[tuple[object, ...]]:
        asked.append(host)
        await asyncio.sleep(0)
        return [(0, 0, 0, "", ("10.0.0.1", 0))]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", look_up)
    clock = FakeClock()
    hosts = SystemTargetHosts(clock)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(hosts.addresses(["a", "b"])) for _ in range(10)]
    assert [task.result() for task in tasks] == [["10.0.0.1"]] * 10
    assert asked == ["a", "b"]
    await clock.advance(timedelta(seconds=5))
    await hosts.addresses(["a"])
    assert asked == ["a", "b", "a"]


async def test_a_name_that_the_system_cannot_even_read_has_no_address() -> None:
    assert await SystemTargetHosts(FakeClock()).addresses(["a" * 300, "x..y"]) == []
