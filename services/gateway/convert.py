"""Domain to protobuf."""

from datetime import datetime

from chronos.cluster.v1.cluster_pb2 import ClusterMeta, Member
from chronos.cluster.v1.cluster_pb2 import Finding as FindingMessage
from chronos.gateway.v1.cluster_service_pb2 import ClusterStatus, EtcdStatus, ShardStatus
from google.protobuf.timestamp_pb2 import Timestamp

from services.gateway.cluster import Diagnosis
from services.gateway.domain.cluster import EtcdMember, Finding, Meta, Replica, Shard


def cluster_status(diagnosis: Diagnosis) -> ClusterStatus:
    """The answer to GetClusterStatus."""
    cluster = diagnosis.cluster
    return ClusterStatus(
        meta=_meta(cluster.meta) if cluster.meta else None,
        members=map(_member, cluster.replicas),
        shards=map(_shard, cluster.shards),
        etcd=map(_etcd, cluster.etcd),
        is_healthy=not diagnosis.problems,
        problems=diagnosis.problems,
        job_count=cluster.job_count,
        findings=map(_finding, cluster.findings),
    )


def _meta(meta: Meta) -> ClusterMeta:
    return ClusterMeta(
        cluster_id=meta.cluster_id,
        shard_count=meta.shard_count,
        format_version=meta.format_version,
        created_at=_timestamp(meta.created_at),
    )


def _member(replica: Replica) -> Member:
    return Member(
        service=replica.service,
        instance=replica.instance,
        replica=replica.replica,
        address=replica.address,
        metrics_address=replica.metrics_address,
        started_at=_timestamp(replica.started_at),
        version=replica.version,
    )


def _shard(shard: Shard) -> ShardStatus:
    return ShardStatus(
        shard=shard.number,
        owner=shard.owner,
        epoch=shard.epoch,
        watermark=_timestamp(shard.watermark) if shard.watermark else None,
    )


def _etcd(member: EtcdMember) -> EtcdStatus:
    return EtcdStatus(
        endpoint=member.endpoint,
        is_healthy=member.is_healthy,
        is_leader=member.is_leader,
        version=member.version,
        db_size_bytes=member.db_size_bytes,
        error=member.error,
    )


def _finding(finding: Finding) -> FindingMessage:
    return FindingMessage(
        kind=FindingMessage.Kind.Value(finding.kind),
        subject=finding.subject,
        since=_timestamp(finding.since),
        message=finding.message,
        fix=finding.fix,
        replica=finding.replica,
    )


def _timestamp(moment: datetime) -> Timestamp:
    timestamp = Timestamp()
    timestamp.FromDatetime(moment)
    return timestamp
