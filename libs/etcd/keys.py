"""Every key that Chronos keeps in etcd.

/chronos/v1/meta                                   ClusterMeta
/chronos/v1/members/{service}/{instance}           Member      (lease)
/chronos/v1/shards/{shard}/owner                   ShardOwner  (lease; create revision = fencing epoch)
/chronos/v1/shards/{shard}/watermark               Watermark   (written only in a txn that compares the owner key)
/chronos/v1/jobs/{shard}/{namespace}/{job}         StoredJob
/chronos/v1/index/jobs/{namespace}/{job}           the shard, in decimal digits
/chronos/v1/versions/{namespace}/{job}/{version}   StoredJob at that version; ten digits, so that keys sort
/chronos/v1/triggers/{shard}/{execution}           StoredTrigger
/chronos/v1/apikeys/{id}                           ApiKey
/chronos/v1/requests/{namespace}/{request_id}      answer to a repeated request (lease of 24 h)

Values are protobuf messages; prefixes end with a slash.
"""

ROOT = b"/chronos/v1/"
META = ROOT + b"meta"
MEMBERS = ROOT + b"members/"
SHARDS = ROOT + b"shards/"
JOBS = ROOT + b"jobs/"
JOB_INDEX = ROOT + b"index/jobs/"
VERSIONS = ROOT + b"versions/"
TRIGGERS = ROOT + b"triggers/"
API_KEYS = ROOT + b"apikeys/"
REQUESTS = ROOT + b"requests/"

_OWNER = b"/owner"
_WATERMARK = b"/watermark"


def members_of(service: str) -> bytes:
    """The prefix of the live members of a service."""
    return MEMBERS + f"{service}/".encode()


def member(service: str, instance: str) -> bytes:
    """One running process of a service."""
    return MEMBERS + f"{service}/{instance}".encode()


def shard_owner(shard: int) -> bytes:
    """Who owns a shard."""
    return SHARDS + f"{shard}".encode() + _OWNER


def shard_watermark(shard: int) -> bytes:
    """How far a shard's firing is in the ledger."""
    return SHARDS + f"{shard}".encode() + _WATERMARK


def shard_of_owner(key: bytes) -> int | None:
    """The shard of an owner key, None for any other key."""
    digits = key.removeprefix(SHARDS).removesuffix(_OWNER)
    return int(digits) if digits.isdigit() and key == shard_owner(int(digits)) else None


def shard_of_watermark(key: bytes) -> int | None:
    """The shard of a watermark key, None for any other key."""
    digits = key.removeprefix(SHARDS).removesuffix(_WATERMARK)
    return int(digits) if digits.isdigit() and key == shard_watermark(int(digits)) else None


def jobs_of_shard(shard: int) -> bytes:
    """The prefix of the jobs of a shard."""
    return JOBS + f"{shard}/".encode()


def job(shard: int, namespace: str, job_id: str) -> bytes:
    """A stored job."""
    return JOBS + f"{shard}/{namespace}/{job_id}".encode()


def job_index_of(namespace: str) -> bytes:
    """The prefix of the index of a namespace's jobs, in the order of their ids."""
    return JOB_INDEX + f"{namespace}/".encode()


def job_index(namespace: str, job_id: str) -> bytes:
    """The entry of a job in the index; its value is the shard."""
    return JOB_INDEX + f"{namespace}/{job_id}".encode()


def versions_of(namespace: str, job_id: str) -> bytes:
    """The prefix of the stored versions of a job, oldest first."""
    return VERSIONS + f"{namespace}/{job_id}/".encode()


def version(namespace: str, job_id: str, number: int) -> bytes:
    """A job as it was at a version."""
    return VERSIONS + f"{namespace}/{job_id}/{number:010d}".encode()


def triggers_of_shard(shard: int) -> bytes:
    """The prefix of the runs that were asked for and have no record yet."""
    return TRIGGERS + f"{shard}/".encode()


def trigger(shard: int, execution_id: str) -> bytes:
    """A run that was asked for."""
    return TRIGGERS + f"{shard}/{execution_id}".encode()


def api_key(key_id: str) -> bytes:
    """A stored API key."""
    return API_KEYS + key_id.encode()


def request(namespace: str, request_id: str) -> bytes:
    """What was answered to a request id."""
    return REQUESTS + f"{namespace}/{request_id}".encode()


def last_part(key: bytes) -> str:
    """What follows the last slash: the id of a job, an instance, an execution."""
    return key.rpartition(b"/")[2].decode()


def end_of(prefix: bytes) -> bytes:
    """The first key after all that start with `prefix`: etcd's `range_end`. A zero byte stands for no end."""
    trimmed = prefix.rstrip(b"\xff")
    return trimmed[:-1] + bytes([trimmed[-1] + 1]) if trimmed else b"\0"
