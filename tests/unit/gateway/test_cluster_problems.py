"""What makes a cluster unhealthy."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from services.gateway.domain.cluster import Cluster, EtcdMember, Meta, Replica, Shard, problems_of

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SERVICES = ("scheduler", "history")


def replica(service: str) -> Replica:
    return Replica(
        service=service, instance=f"{service}-0-x", replica=f"{service}-0", address="127.0.0.1:1",
        metrics_address="127.0.0.1:2", started_at=NOW, version="1",
    )  # fmt: skip


def etcd(endpoint: str = "127.0.0.1:2379", **more: bool) -> EtcdMember:
    return EtcdMember(
        endpoint=endpoint,
        version="3.5.16",
        db_size_bytes=1,
        error="",
        **{"is_healthy": True, "is_leader": True, **more},
    )


def shard(number: int, behind: timedelta = timedelta(seconds=1)) -> Shard:
    return Shard(number=number, owner="scheduler-0", owner_instance="scheduler-0-x", epoch=5, watermark=NOW - behind)


WELL = Cluster(
    meta=Meta(cluster_id="c", shard_count=3, format_version=1, created_at=NOW),
    replicas=[replica(service) for service in SERVICES],
    shards=[shard(0), shard(1), shard(2)],
    etcd=[etcd()],
    job_count=0,
)


def problems(cluster: Cluster) -> list[str]:
    return problems_of(cluster, now=NOW, expected_services=SERVICES, watermark_tolerance=timedelta(seconds=10))


def test_a_cluster_in_which_everything_runs_has_no_problems() -> None:
    assert problems(WELL) == []


def test_a_service_without_a_replica_is_a_problem() -> None:
    assert problems(replace(WELL, replicas=[replica("history")])) == ["no replica of scheduler is running"]


def test_a_shard_without_an_owner_is_a_problem() -> None:
    (problem,) = problems(replace(WELL, shards=[shard(0), Shard(number=1), shard(2)]))
    assert problem == "shard 1 is without an owner: jobs there do not fire"


def test_a_shard_whose_owner_has_left_and_says_nothing_more_is_a_problem() -> None:
    gone = replace(shard(1, timedelta(seconds=8)), owner_instance="scheduler-0-old")
    (problem,) = problems(replace(WELL, shards=[shard(0), gone, shard(2)]))
    assert problem == "shard 1 is owned by a process that is no live member: stop it, so that its lease ends"


def test_a_shard_that_is_being_handed_over_is_fine() -> None:
    leaving = replace(shard(1), owner_instance="scheduler-0-old")
    assert problems(replace(WELL, shards=[shard(0), leaving, shard(2)])) == []


def test_many_shards_without_an_owner_are_one_problem() -> None:
    (problem,) = problems(replace(WELL, shards=[Shard(number=number) for number in range(64)]))
    assert problem == "64 shards (0, 1, 2, 3, 4, 5, 6, 7, …) are without an owner: jobs there do not fire"


def test_a_watermark_that_stands_still_is_a_problem() -> None:
    (problem,) = problems(replace(WELL, shards=[shard(0), shard(1, timedelta(seconds=42)), shard(2)]))
    assert problem == "shard 1 is behind: the oldest watermark is 42 s old"


def test_a_shard_that_was_just_taken_and_has_no_watermark_yet_is_fine() -> None:
    assert problems(replace(WELL, shards=[replace(shard(0), watermark=None)])) == []


def test_an_etcd_member_that_is_down_is_a_problem() -> None:
    down = replace(etcd("127.0.0.1:2381", is_healthy=False, is_leader=False), error="connection refused")
    assert problems(replace(WELL, etcd=[etcd(), down])) == ["etcd at 127.0.0.1:2381 is not healthy: connection refused"]


def test_an_etcd_without_a_leader_is_a_problem() -> None:
    assert problems(replace(WELL, etcd=[etcd(is_leader=False)])) == ["no etcd member says that it is the leader"]


def test_a_cluster_that_no_scheduler_has_created_is_a_problem() -> None:
    assert problems(replace(WELL, meta=None, shards=[])) == [
        "the cluster has not been created yet: no scheduler has started"
    ]
