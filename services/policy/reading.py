"""What a person wrote as a policy, read as it is stored: defaults filled in, operators by their own names, compiled."""

from chronos.policy.v1 import policy_pb2, stored_policy_pb2

from libs.faults import InvalidArgument, Violation
from libs.names import is_id, slug
from services.policy.convert import compiled_from
from services.policy.domain.compiled import PolicyError
from services.policy.domain.operators import canonical

Policy = policy_pb2.Policy
OF_THE_STORE = ("created_at", "updated_at", "updated_by", "version", "etag")
MOST_BYTES = 512 * 1024
"""etcd takes 1.5 MiB at once, and a policy is written twice: as it is, and as a version."""
RESERVED_IDS = frozenset({"evaluate", "dry-run"})
"""What REST has in the place of an id: /api/v1/policies/evaluate."""


def read_policy(wish: Policy) -> stored_policy_pb2.StoredPolicy:
    """The policy as it is to be stored, but for when and by whom. Raises InvalidArgument with every fault."""
    policy = _filled(wish)
    problems = _id_problems(policy)
    uses: frozenset[str] = frozenset()
    try:
        uses = compiled_from(policy).uses
    except PolicyError as error:
        problems += [Violation(field=path, description=description) for path, description in error.problems]
    if not problems and (size := policy.ByteSize()) > MOST_BYTES:
        problems.append(
            Violation(field="rules", description=f"take {size:,} bytes, and there is room for {MOST_BYTES:,}; split it")
        )
    if problems:
        raise InvalidArgument(problems)
    return stored_policy_pb2.StoredPolicy(policy=policy, uses=sorted(uses))


def _filled(wish: Policy) -> Policy:
    policy = Policy()
    policy.CopyFrom(wish)
    for name in OF_THE_STORE:
        policy.ClearField(name)  # type: ignore[arg-type]
    policy.id = policy.id or slug(policy.name)
    policy.type = policy.type or Policy.JOB
    policy.severity = policy.severity or Policy.ERROR
    policy.action = policy.action or Policy.DENY
    policy.enabled = policy.enabled if policy.HasField("enabled") else True
    for rule in policy.rules:
        rule.id = rule.id or slug(rule.name)
        _name_operators(rule.condition)
    return policy


def _name_operators(condition: policy_pb2.Condition) -> None:
    condition.operator = canonical(condition.operator)
    for inner in (*getattr(condition, "and"), *getattr(condition, "or")):
        _name_operators(inner)
    if condition.HasField("not"):
        _name_operators(getattr(condition, "not"))


def _id_problems(policy: Policy) -> list[Violation]:
    problems = []
    if not is_id(policy.id):
        problems.append(Violation(field="id", description="cannot be made of the name; give one"))
    if policy.id in RESERVED_IDS:
        problems.append(Violation(field="id", description=f'cannot be "{policy.id}", which is a path of the API'))
    for index, rule in enumerate(policy.rules):
        if not is_id(rule.id):
            problems.append(Violation(field=f"rules[{index}].id", description="cannot be made of the name; give one"))
    return problems
