"""`chronosctl cluster` and `chronosctl circuit-breakers`: the cluster as a whole."""

from typing import Annotated

import typer

from cli.chronosctl.cluster_tables import BREAKER_COLUMNS, breaker_row, show_cluster
from cli.chronosctl.session import Session


def cluster_status(
    session: Session,
    shards: Annotated[bool, typer.Option("--shards", help="Also list every shard with its owner.")] = False,
) -> None:
    """Shows members, shards and their owners, watermarks, and etcd. Exits 1 when something is wrong."""
    status = session.client.call("GET", "/api/v1/cluster/status")
    if session.output.is_table:
        show_cluster(session.output, status, with_shards=shards)
    else:
        session.output.value(status)
    if not status.get("is_healthy"):
        raise typer.Exit(1)


def circuit_breakers(
    session: Session,
    host: Annotated[str, typer.Option("--host", metavar="HOST[:PORT]", help="Only this host.")] = "",
) -> None:
    """Lists the hosts that are left alone for a while because they keep failing."""
    answer = session.client.call("GET", "/api/v1/circuit-breakers", query={"host": host} if host else {})
    if session.output.is_table:
        session.output.table(BREAKER_COLUMNS, [breaker_row(found) for found in answer.get("circuit_breakers") or ()])
    else:
        session.output.value(answer)
