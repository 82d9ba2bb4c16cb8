"""Every key that Chronos keeps in etcd.

/chronos/v1/meta                                   ClusterMeta
/chronos/v1/members/{service}/{instance}           Member      (lease)
/chronos/v1/shards/{shard}/owner                   ShardOwner  (lease; create revision = fencing epoch)
/chronos/v1/shards/{shard}/watermark               Watermark   (written only in a txn that compares the owner key)
/chronos/v1/jobs/{shard}/{namespace}/{job}         StoredJob
/chronos/v1/index/jobs/{namespace}/{job}           the shard, in decimal digits
/chronos/v1/versions/{namespace}/{job}/{version}   StoredJob at that version; ten digits, so that keys sort
/chronos/v1/tombstones/{shard}/{namespace}/{job}/{uid}  StoredTombstone
/chronos/v1/triggers/{shard}/{execution}           StoredTrigger
/chronos/v1/triggers/{shard}/{execution}/cancel    StoredCancel
/chronos/v1/triggers/{shard}/{execution}/completion  StoredCompletion
/chronos/v1/triggers/{shard}/{execution}/followup  StoredFollowUp
/chronos/v1/triggers/{shard}/{execution}/signal/{job}  StoredSignal, in the shard of the job that waits
/chronos/v1/rounds/{shard}/{namespace}/{job}       StoredRound
/chronos/v1/dependants/{namespace}/{job}/{dependant}   uid of the job that depends on the other
/chronos/v1/namespaces/{id}                        Namespace
/chronos/v1/quotas/{namespace}/hours/{YYYYMMDDHH}  executions reserved in that hour, in decimal digits (lease of 2 h)
/chronos/v1/quotas/{namespace}/slots/{instance}    `{reserved} {waiting}` concurrent runs, in decimal digits (lease)
/chronos/v1/guards/{what}/{namespace}              empty; its mod revision says when `what` changed last
/chronos/v1/calendars/{namespace}/{calendar}       Calendar
/chronos/v1/apikeys/{id}                           ApiKey
/chronos/v1/requests/{namespace}/{request_id}      answer to a repeated request (lease of 24 h)
/chronos/v1/breakers/{instance}/{host}              CircuitBreaker  (lease of the dispatcher)
/chronos/v1/findings/{instance}                    Findings    (lease)
/chronos/v1/policies/{id}                          StoredPolicy
/chronos/v1/policy-versions/{id}/{version}         StoredPolicy at that version; ten digits, so that keys sort
/chronos/v1/policy-names/{name}                    id of the policy of that name

Values are protobuf messages; prefixes end with a slash.
"""

from collections.abc import Callable

ROOT = b"/chronos/v1/"
META = ROOT + b"meta"
MEMBERS = ROOT + b"members/"
SHARDS = ROOT + b"shards/"
JOBS = ROOT + b"jobs/"
JOB_INDEX = ROOT + b"index/jobs/"
VERSIONS = ROOT + b"versions/"
TOMBSTONES = ROOT + b"tombstones/"
TRIGGERS = ROOT + b"triggers/"
ROUNDS = ROOT + b"rounds/"
DEPENDANTS = ROOT + b"dependants/"
NAMESPACES = ROOT + b"namespaces/"
QUOTAS = ROOT + b"quotas/"
GUARDS = ROOT + b"guards/"
CALENDARS = ROOT + b"calendars/"
API_KEYS = ROOT + b"apikeys/"
REQUESTS = ROOT + b"requests/"
BREAKERS = ROOT + b"breakers/"
FINDINGS = ROOT + b"findings/"
POLICIES = ROOT + b"policies/"
POLICY_VERSIONS = ROOT + b"policy-versions/"
POLICY_NAMES = ROOT + b"policy-names/"

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


def tombstones_of_shard(shard: int) -> bytes:
    """The prefix of what remains of the deleted jobs of a shard."""
    return TOMBSTONES + f"{shard}/".encode()


def tombstone(shard: int, namespace: str, job_id: str, uid: str) -> bytes:
    """What remains of a deleted job; a later one of the same id has another uid."""
    return TOMBSTONES + f"{shard}/{namespace}/{job_id}/{uid}".encode()


def triggers_of_shard(shard: int) -> bytes:
    """The prefix of the runs that were asked for and have no record yet."""
    return TRIGGERS + f"{shard}/".encode()


def trigger(shard: int, execution_id: str) -> bytes:
    """A run that was asked for."""
    return TRIGGERS + f"{shard}/{execution_id}".encode()


def cancel(shard: int, execution_id: str) -> bytes:
    """The wish to stop an execution; seen by who follows the triggers of the shard."""
    return TRIGGERS + f"{shard}/{execution_id}/cancel".encode()


def completion(shard: int, execution_id: str) -> bytes:
    """How an execution ended that its target had accepted; seen by who follows the triggers of the shard."""
    return TRIGGERS + f"{shard}/{execution_id}/completion".encode()


def trigger_part(key: bytes) -> str:
    """What a key under `triggers_of_shard` holds: the last part of those for something else than a trigger."""
    parts = key.removeprefix(TRIGGERS).decode().split("/")
    return parts[2] if len(parts) > 2 else ""


def follow_up(shard: int, execution_id: str) -> bytes:
    """A run whose end other jobs wait for; `shard` is that of its own job."""
    return TRIGGERS + f"{shard}/{execution_id}/followup".encode()


def signal(shard: int, execution_id: str, dependant: str) -> bytes:
    """The news of a run's end for one job, which `shard` is that of."""
    return TRIGGERS + f"{shard}/{execution_id}/signal/{dependant}".encode()


def rounds_of_shard(shard: int) -> bytes:
    """The prefix of what the jobs of a shard have heard of those that they depend on."""
    return ROUNDS + f"{shard}/".encode()


def job_round(shard: int, namespace: str, job_id: str) -> bytes:
    """What a job has heard of those that it depends on."""
    return ROUNDS + f"{shard}/{namespace}/{job_id}".encode()


def dependants_of(namespace: str, job_id: str) -> bytes:
    """The prefix of the jobs that depend on a job."""
    return DEPENDANTS + f"{namespace}/{job_id}/".encode()


def dependant(namespace: str, job_id: str, dependant_id: str) -> bytes:
    """A job that depends on another one; its value is the uid of the one that depends."""
    return DEPENDANTS + f"{namespace}/{job_id}/{dependant_id}".encode()


def namespace(namespace_id: str) -> bytes:
    """A namespace that was created."""
    return NAMESPACES + namespace_id.encode()


def quota_hour(namespace_id: str, hour: str) -> bytes:
    """How many executions of a namespace are reserved in a clock hour, `YYYYMMDDHH`."""
    return QUOTAS + f"{namespace_id}/hours/{hour}".encode()


def quota_slots_of(namespace_id: str) -> bytes:
    """The prefix of what each scheduler has of a namespace's concurrent runs."""
    return QUOTAS + f"{namespace_id}/slots/".encode()


def quota_slots(namespace_id: str, instance: str) -> bytes:
    """What one scheduler has of a namespace's concurrent runs."""
    return QUOTAS + f"{namespace_id}/slots/{instance}".encode()


def guard(what: str, namespace_id: str) -> bytes:
    """A key that is written with each change of `what`, for those who must notice one between reading and writing."""
    return GUARDS + f"{what}/{namespace_id}".encode()


def calendars_of(namespace: str) -> bytes:
    """The prefix of the calendars of a namespace, in the order of their ids."""
    return CALENDARS + f"{namespace}/".encode()


def calendar(namespace: str, calendar_id: str) -> bytes:
    """A stored calendar."""
    return CALENDARS + f"{namespace}/{calendar_id}".encode()


def calendar_of_key(key: bytes) -> tuple[str, str]:
    """Namespace and id of a calendar's key."""
    namespace, _, calendar_id = key.removeprefix(CALENDARS).decode().partition("/")
    return namespace, calendar_id


def api_key(key_id: str) -> bytes:
    """A stored API key."""
    return API_KEYS + key_id.encode()


def request(namespace: str, request_id: str) -> bytes:
    """What was answered to a request id."""
    return REQUESTS + f"{namespace}/{request_id}".encode()


def breaker(instance: str, host: str) -> bytes:
    """A circuit breaker that is not closed, as one dispatcher sees its host."""
    return BREAKERS + f"{instance}/{host}".encode()


def findings(instance: str) -> bytes:
    """What one process finds wrong with what it answers for."""
    return FINDINGS + instance.encode()


def policy(policy_id: str) -> bytes:
    """A stored policy."""
    return POLICIES + policy_id.encode()


def policy_versions_of(policy_id: str) -> bytes:
    """The prefix of the stored versions of a policy, oldest first."""
    return POLICY_VERSIONS + f"{policy_id}/".encode()


def policy_version(policy_id: str, number: int) -> bytes:
    """A policy as it was at a version."""
    return POLICY_VERSIONS + f"{policy_id}/{number:010d}".encode()


def policy_name(name: str) -> bytes:
    """The entry of a policy's name, which no other one may have; its value is the policy's id."""
    return POLICY_NAMES + name.encode()


def below(prefix: bytes) -> Callable[[bytes], str]:
    """Names keys by all that follows a prefix."""
    return lambda key: key.removeprefix(prefix).decode()


def last_part(key: bytes) -> str:
    """What follows the last slash: the id of a job, an instance, an execution."""
    return key.rpartition(b"/")[2].decode()


def end_of(prefix: bytes) -> bytes:
    """The first key after all that start with `prefix`: etcd's `range_end`. A zero byte stands for no end."""
    trimmed = prefix.rstrip(b"\xff")
    return trimmed[:-1] + bytes([trimmed[-1] + 1]) if trimmed else b"\0"
