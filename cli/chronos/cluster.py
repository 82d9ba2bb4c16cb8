"""What a new cluster needs in etcd before its services can work."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

from cli.chronos.first_key import FirstKey, ensure_first_key
from cli.chronos.ports import SCHEDULER
from cli.chronos.settings import MeshSettings
from cli.chronos.topology import MeshOptions, etcd_endpoints
from libs.clock import Clock
from libs.etcd.client import EtcdClient, EtcdTls
from libs.etcd.keys import META
from libs.etcd.meta import DEFAULT_SHARD_COUNT, ensure_meta
from libs.etcd.port import Etcd
from libs.faults import Unavailable

POLL = timedelta(milliseconds=100)
TELL_EVERY = timedelta(seconds=5)


@asynccontextmanager
async def connected(endpoints: tuple[str, ...], settings: MeshSettings, clock: Clock) -> AsyncIterator[Etcd]:
    """A client for the etcd of a mesh."""
    tls = EtcdTls.of_files(settings.etcd_ca_file, settings.etcd_cert_file, settings.etcd_key_file)
    client = EtcdClient(endpoints, tls=tls, clock=clock)
    try:
        yield client
    finally:
        await client.close()


async def prepare(options: MeshOptions, settings: MeshSettings, clock: Clock, tell: Callable[[str], None]) -> FirstKey:
    """Waits for etcd, with a line every few seconds, and writes what every cluster has: its facts and a first key."""
    async with connected(etcd_endpoints(options), settings, clock) as client:
        await _wait_for(client, options, clock, tell)
        await ensure_meta(client, shard_count(options), clock=clock)
        return await ensure_first_key(client, options.data_dir, settings.admin_key, clock)


def shard_count(options: MeshOptions) -> int:
    """What `--set scheduler.shard_count` says. The scheduler itself refuses a value that is not a count."""
    said = [item.value for item in options.overrides if (item.service, item.key) == (SCHEDULER, "shard_count")]
    return int(said[-1]) if said and said[-1].isdecimal() else DEFAULT_SHARD_COUNT


async def _wait_for(client: Etcd, options: MeshOptions, clock: Clock, tell: Callable[[str], None]) -> None:
    next_line = clock.monotonic()
    while True:
        try:
            await client.get(META)
            return
        except Unavailable:
            if clock.monotonic() >= next_line:
                tell(f"etcd does not answer at {', '.join(etcd_endpoints(options))}; waiting for it")
                next_line = clock.monotonic() + TELL_EVERY.total_seconds()
            await clock.sleep(POLL)
