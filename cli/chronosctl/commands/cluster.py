"""`chronosctl cluster`: the cluster as a whole."""

from typing import Annotated

import typer

from cli.chronosctl.session import Session
from cli.chronosctl.tables import show_cluster


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
