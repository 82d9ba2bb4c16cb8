from pathlib import Path

import pytest

from cli.chronos.errors import MISUSED, MeshError
from cli.chronos.etcd_binary import EtcdBinary
from cli.chronos.ports import SERVICES, busy_ports, check_free, most_replicas, ports_of
from cli.chronos.topology import (
    STOP_ORDER,
    MeshOptions,
    Override,
    check,
    etcd_endpoints,
    etcd_specs,
    parse_override,
    parse_replicas,
    service_specs,
    wanted_ports,
)

DATA_DIR = Path("/var/lib/mesh")
GOOD_ETCD = EtcdBinary(path="/usr/bin/etcd", version=(3, 5, 30))


def environments(options: MeshOptions) -> dict[str, dict[str, str]]:
    specs = service_specs(options, python="python", mesh_token="token")
    return {spec.replica: dict(spec.env) for spec in specs}


def flags(options: MeshOptions, member: int, binary: EtcdBinary = GOOD_ETCD) -> dict[str, str]:
    command = etcd_specs(options, binary)[member].command
    return dict(flag.removeprefix("--").split("=", 1) for flag in command[1:])


def test_every_replica_runs_as_a_module_with_its_own_ports() -> None:
    specs = service_specs(
        MeshOptions(data_dir=DATA_DIR, replicas={"scheduler": 3}), python="/venv/python", mesh_token="t"
    )
    schedulers = [spec for spec in specs if spec.name == "scheduler"]
    assert [spec.replica for spec in schedulers] == ["scheduler-0", "scheduler-1", "scheduler-2"]
    assert {spec.command for spec in schedulers} == {("/venv/python", "-P", "-m", "services.scheduler")}
    assert [spec.ports for spec in schedulers] == [
        {"grpc": 8180, "metrics": 8181},
        {"grpc": 8182, "metrics": 8183},
        {"grpc": 8184, "metrics": 8185},
    ]


def test_services_that_are_not_named_run_once() -> None:
    replicas = [spec.replica for spec in service_specs(MeshOptions(data_dir=DATA_DIR), python="p", mesh_token="t")]
    assert sorted(replicas) == sorted(f"{service}-0" for service in SERVICES)


def test_a_replica_is_told_where_to_listen_and_where_etcd_is() -> None:
    env = environments(MeshOptions(data_dir=DATA_DIR, port_base=9080, etcd_members=3, lease_ttl="4s"))["history-0"]
    assert env["CHRONOS_REPLICA"] == "history-0"
    assert env["CHRONOS_LISTEN"] == "127.0.0.1:9380"
    assert env["CHRONOS_METRICS_LISTEN"] == "127.0.0.1:9381"
    assert env["CHRONOS_ETCD_ENDPOINTS"] == "127.0.0.1:9090,127.0.0.1:9092,127.0.0.1:9094"
    assert env["CHRONOS_LEASE_TTL"] == "4s"
    assert env["CHRONOS_MESH_TOKEN"] == "token"
    assert env["CHRONOS_DATA_DIR"] == "/var/lib/mesh/history"


def test_only_the_dispatcher_of_a_local_mesh_may_call_private_addresses() -> None:
    allowed = {
        replica
        for replica, env in environments(MeshOptions(data_dir=DATA_DIR)).items()
        if env.get("CHRONOS_ALLOW_PRIVATE_ADDRESSES") == "true"
    }
    assert allowed == {"dispatcher-0"}


def test_a_setting_given_by_hand_wins_in_the_service_it_names() -> None:
    overrides = (parse_override("dispatcher.allow_private_addresses=false"), parse_override("*.log_level=debug"))
    env = environments(MeshOptions(data_dir=DATA_DIR, overrides=overrides))
    assert env["dispatcher-0"]["CHRONOS_ALLOW_PRIVATE_ADDRESSES"] == "false"
    assert {replica["CHRONOS_LOG_LEVEL"] for replica in env.values()} == {"debug"}


def test_a_setting_may_be_for_one_replica_only() -> None:
    overrides = (parse_override("scheduler.log_level=debug"), parse_override("scheduler-1.log_level=error"))
    env = environments(MeshOptions(data_dir=DATA_DIR, replicas={"scheduler": 2}, overrides=overrides))
    assert env["scheduler-0"]["CHRONOS_LOG_LEVEL"] == "debug"
    assert env["scheduler-1"]["CHRONOS_LOG_LEVEL"] == "error"


def test_secrets_do_not_show_in_the_text_of_a_process() -> None:
    spec = service_specs(MeshOptions(data_dir=DATA_DIR), python="p", mesh_token="very-secret")[0]
    assert "very-secret" not in repr(spec)
    assert "very-secret" not in " ".join(spec.command)


def test_no_two_processes_share_a_port_even_at_full_size() -> None:
    most = {service: most_replicas(service) for service in SERVICES}
    options = MeshOptions(data_dir=DATA_DIR, etcd_members=3, replicas=most)
    ports = [port for _, used in wanted_ports(options) for port in used.values()]
    assert len(ports) == len(set(ports))
    assert max(ports) < 8080 + 600


def test_services_stop_before_those_they_call() -> None:
    assert set(SERVICES) < set(STOP_ORDER)
    assert STOP_ORDER.index("gateway") < STOP_ORDER.index("scheduler")
    for called in ("dispatcher", "policy", "history"):
        assert STOP_ORDER.index("scheduler") < STOP_ORDER.index(called) < STOP_ORDER.index("etcd")


def test_meshes_a_thousand_ports_apart_do_not_meet() -> None:
    here, there = (MeshOptions(data_dir=DATA_DIR, port_base=base) for base in (8080, 9080))
    used = [{port for _, ports in wanted_ports(options) for port in ports.values()} for options in (here, there)]
    assert not used[0] & used[1]


def test_etcd_members_know_each_other() -> None:
    options = MeshOptions(data_dir=DATA_DIR, etcd_members=3)
    cluster = "etcd-0=http://127.0.0.1:8091,etcd-1=http://127.0.0.1:8093,etcd-2=http://127.0.0.1:8095"
    assert {flags(options, member)["initial-cluster"] for member in range(3)} == {cluster}
    assert flags(options, 1)["name"] == "etcd-1"
    assert flags(options, 1)["data-dir"] == "/var/lib/mesh/etcd/etcd-1"
    assert flags(options, 1)["listen-client-urls"] == "http://127.0.0.1:8092"


def test_etcd_members_are_told_where_their_peers_reach_them() -> None:
    override = parse_override("etcd-1.peer_advertise=127.0.0.1:9")
    options = MeshOptions(data_dir=DATA_DIR, etcd_members=3, overrides=(override,))
    assert all("etcd-1=http://127.0.0.1:9," in flags(options, member)["initial-cluster"] for member in range(3))
    assert flags(options, 1)["initial-advertise-peer-urls"] == "http://127.0.0.1:9"
    assert flags(options, 1)["listen-peer-urls"] == "http://127.0.0.1:8093"


@pytest.mark.parametrize("text", ["etcd-0.listen=x", "etcd.peer_advertise=x", "scheduler-x.listen=x"])
def test_a_setting_that_no_replica_knows_is_refused(text: str) -> None:
    with pytest.raises(MeshError, match=r"SERVICE\.KEY=VALUE"):
        parse_override(text)


def test_an_etcd_that_can_lose_data_checks_it_at_start() -> None:
    options = MeshOptions(data_dir=DATA_DIR)
    doubtful = EtcdBinary(path="etcd", version=(3, 5, 1), warning="beware")
    assert "experimental-initial-corrupt-check" in flags(options, 0, doubtful)
    assert "experimental-initial-corrupt-check" not in flags(options, 0)


def test_an_external_etcd_takes_the_place_of_members() -> None:
    options = MeshOptions(data_dir=DATA_DIR, etcd_endpoints=("db:2379",))
    assert etcd_endpoints(options) == ("db:2379",)
    assert not [replica for replica, _ in wanted_ports(options) if replica.startswith("etcd")]


def test_replicas_are_read() -> None:
    assert parse_replicas("scheduler=3, dispatcher=2") == {
        "history": 1, "policy": 1, "dispatcher": 2, "scheduler": 3, "gateway": 1,
    }  # fmt: skip


@pytest.mark.parametrize("text", ["web=1", "scheduler", "scheduler=", "scheduler=0", "scheduler=51", "scheduler=x"])
def test_replicas_that_cannot_be_are_refused(text: str) -> None:
    with pytest.raises(MeshError, match="--replicas") as error:
        parse_replicas(text)
    assert error.value.exit_code == MISUSED


def test_a_setting_may_hold_any_value() -> None:
    assert parse_override("history.retention=7d") == Override(service="history", key="retention", value="7d")
    assert parse_override("dispatcher.ca_file=a=b.c").value == "a=b.c"


@pytest.mark.parametrize("text", ["", "retention=7d", "nobody.retention=7d", "history.=7d", "history.retention"])
def test_a_setting_that_names_no_service_is_refused(text: str) -> None:
    with pytest.raises(MeshError, match=r"SERVICE\.KEY=VALUE"):
        parse_override(text)


@pytest.mark.parametrize(
    ("options", "flag"),
    [
        (MeshOptions(data_dir=DATA_DIR, etcd_members=2), "--etcd 2"),
        (MeshOptions(data_dir=DATA_DIR, port_base=80), "--port-base 80"),
        (MeshOptions(data_dir=DATA_DIR, port_base=65_300), "--port-base 65300"),
        (MeshOptions(data_dir=DATA_DIR, etcd_endpoints=("http://db:2379",)), "--etcd-endpoints"),
        (MeshOptions(data_dir=DATA_DIR, etcd_endpoints=("db",)), "--etcd-endpoints"),
        (MeshOptions(data_dir=DATA_DIR, lease_ttl="2 seconds"), "--lease-ttl"),
    ],
)
def test_options_that_cannot_be_are_refused(options: MeshOptions, flag: str) -> None:
    with pytest.raises(MeshError, match=flag) as error:
        check(options)
    assert error.value.exit_code == MISUSED


def test_a_port_in_use_is_named_with_the_process_that_wants_it() -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        wanted = [("gateway-0", {"http": port})]
        assert busy_ports(wanted) == [f"{port} (gateway-0, http)"]
        with pytest.raises(MeshError, match=rf"port is in use: {port} \(gateway-0, http\).*--port-base"):
            check_free(wanted)
    assert busy_ports(wanted) == []


def test_ports_follow_from_the_base() -> None:
    assert ports_of("envoy", 0, 9080) == {"edge": 9080, "admin": 9081}
    assert ports_of("gateway", 1, 8080) == {"grpc": 8483, "metrics": 8484, "http": 8485}
    assert ports_of("policy", 1, 8080) == {"grpc": 8582, "metrics": 8583}


def test_only_history_is_told_where_the_database_of_the_ledger_is() -> None:
    url = "postgresql://chronos:secret@db/chronos"
    options = MeshOptions(data_dir=Path("data"), postgres_url=url, replicas={"history": 2})
    found = {name: env.get("CHRONOS_LEDGER_URL") for name, env in environments(options).items()}
    assert {name for name, told in found.items() if told == url} == {"history-0", "history-1"}
    assert {told for name, told in found.items() if not name.startswith("history")} == {None}
    assert "secret" not in repr(options)


def test_a_ledger_in_another_database_is_refused() -> None:
    with pytest.raises(MeshError, match="--postgres") as caught:
        check(MeshOptions(data_dir=Path("data"), postgres_url="mysql://chronos:secret@db/chronos"))
    assert "secret" not in caught.value.message
