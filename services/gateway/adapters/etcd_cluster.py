"""The cluster's state as etcd has it."""

from collections.abc import Iterable
from datetime import UTC, datetime

from chronos.cluster.v1.cluster_pb2 import ClusterMeta, Findings, Member, ShardOwner, Watermark
from chronos.cluster.v1.cluster_pb2 import Finding as StoredFinding
from google.protobuf.timestamp_pb2 import Timestamp

from libs.etcd import keys
from libs.etcd.port import Etcd
from libs.etcd.values import EndpointStatus, KeyValue
from services.gateway.domain.cluster import Cluster, EtcdMember, Finding, Meta, Replica, Shard


class EtcdClusterReader:
    """See ClusterReader. Each part is of one revision; the parts may be of neighbouring ones."""

    def __init__(self, etcd: Etcd) -> None:
        self._etcd = etcd

    async def read(self) -> Cluster:
        """See ClusterReader."""
        stored = await self._etcd.get(keys.META)
        members = await self._etcd.list_prefix(keys.MEMBERS)
        shards = await self._etcd.list_prefix(keys.SHARDS)
        findings = await self._etcd.list_prefix(keys.FINDINGS)
        meta = _meta(stored.value) if stored else None
        return Cluster(
            meta=meta,
            replicas=sorted(
                (_replica(item.value) for item in members.items), key=lambda one: (one.replica, one.instance)
            ),
            shards=_shards(meta.shard_count if meta else 0, shards.items),
            etcd=[_etcd_member(status) for status in await self._etcd.statuses()],
            job_count=await self._etcd.count(keys.JOB_INDEX),
            findings=_findings(findings.items),
        )


def _meta(value: bytes) -> Meta:
    meta = ClusterMeta.FromString(value)
    return Meta(
        cluster_id=meta.cluster_id,
        shard_count=meta.shard_count,
        format_version=meta.format_version,
        created_at=_moment(meta.created_at),
    )


def _replica(value: bytes) -> Replica:
    member = Member.FromString(value)
    return Replica(
        service=member.service,
        instance=member.instance,
        replica=member.replica,
        address=member.address,
        metrics_address=member.metrics_address,
        started_at=_moment(member.started_at),
        version=member.version,
    )


def _shards(count: int, items: Iterable[KeyValue]) -> list[Shard]:
    owners: dict[int, KeyValue] = {}
    watermarks: dict[int, datetime] = {}
    for item in items:
        if (number := keys.shard_of_owner(item.key)) is not None:
            owners[number] = item
        elif (number := keys.shard_of_watermark(item.key)) is not None:
            watermarks[number] = _moment(Watermark.FromString(item.value).time)
    return [_shard(number, owners.get(number), watermarks.get(number)) for number in range(count)]


def _shard(number: int, owner: KeyValue | None, watermark: datetime | None) -> Shard:
    if owner is None:
        return Shard(number=number, watermark=watermark)
    holder = ShardOwner.FromString(owner.value)
    return Shard(
        number=number,
        owner=holder.replica,
        owner_instance=holder.instance,
        epoch=owner.create_revision,
        watermark=watermark,
    )


def _findings(items: Iterable[KeyValue]) -> list[Finding]:
    stored = [finding for item in items for finding in Findings.FromString(item.value).findings]
    return sorted((_finding(each) for each in stored), key=lambda one: (one.since, one.replica, one.subject))


def _finding(stored: StoredFinding) -> Finding:
    return Finding(
        kind=_kind(stored.kind),
        subject=stored.subject,
        since=_moment(stored.since),
        message=stored.message,
        fix=stored.fix,
        replica=stored.replica,
    )


def _kind(number: int) -> str:
    """The name of a kind; that of a newer release than ours is not known."""
    known = StoredFinding.Kind.DESCRIPTOR.values_by_number.get(number)
    return known.name if known is not None else "KIND_UNSPECIFIED"


def _etcd_member(status: EndpointStatus) -> EtcdMember:
    return EtcdMember(
        endpoint=status.endpoint,
        is_healthy=status.is_healthy,
        is_leader=status.is_leader,
        version=status.version,
        db_size_bytes=status.db_size_bytes,
        error=status.error,
    )


def _moment(timestamp: Timestamp) -> datetime:
    return timestamp.ToDatetime(tzinfo=UTC)
