"""A policy that is known to mean something, ready to judge."""

from dataclasses import dataclass

from services.policy.domain.compiling import Compiler
from services.policy.domain.conditions import ExpressionNode, GroupNode, Holds, Node, TestNode, nodes_within
from services.policy.domain.facts import USES, find_zone
from services.policy.domain.limits import MAX_RULES
from services.policy.domain.policy import OPERATIONS, Action, Policy, Rule, Type
from services.policy.domain.problems import PolicyError, Problem

__all__ = ["CompiledPolicy", "CompiledRule", "PolicyError", "Problem", "compile_policy"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CompiledRule:
    """A rule with its condition as a function."""

    rule: Rule
    action: Action
    """Its own, else the policy's."""
    is_allowing: bool
    """Whether it speaks when its condition holds."""
    node: Node


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CompiledPolicy:
    """A policy with its conditions as functions."""

    policy: Policy
    rules: tuple[CompiledRule, ...]
    steps: tuple[tuple[Holds, CompiledRule], ...]
    """The rules, each with the function that judging calls: 1,000 of them take less than a millisecond."""
    uses: frozenset[str]
    """What its conditions look at, of `now`, `load`, `endpoint`, `timing` and `calendars`."""
    has_parameters: bool
    """Whether a condition looks at `params`."""


def compile_policy(policy: Policy) -> CompiledPolicy:
    """Compiles a policy. Raises PolicyError with every fault and its path."""
    compiler = Compiler(policy.parameters)
    _check(policy, compiler)
    rules = [
        CompiledRule(rule=rule, action=action, is_allowing=action is Action.ALLOW, node=node)
        for place, rule in enumerate(policy.rules[:MAX_RULES])
        if (node := compiler.compile(rule.condition, f"rules[{place}].condition")) is not None
        and (action := rule.action or policy.action)
    ]
    if compiler.problems:
        raise PolicyError(compiler.problems)
    roots = frozenset(root for rule in rules for node in nodes_within(rule.node) for root in _roots(node))
    return CompiledPolicy(
        policy=policy,
        rules=tuple(rules),
        steps=tuple((rule.node.holds, rule) for rule in rules),
        uses=roots & USES,
        has_parameters="params" in roots,
    )


def _roots(node: Node) -> frozenset[str]:
    match node:
        case TestNode():
            return frozenset({node.path.root})
        case ExpressionNode():
            return node.program.roots
        case GroupNode():
            return frozenset()


def _check(policy: Policy, compiler: Compiler) -> None:
    if not policy.rules:
        compiler.fault("rules", "a policy has at least one rule")
    if len(policy.rules) > MAX_RULES:
        compiler.fault("rules", f"a policy has at most {MAX_RULES:,} rules; spread them over several policies")
    known: set[str] = set()
    for place, rule in enumerate(policy.rules):
        if rule.id in known:
            compiler.fault(f"rules[{place}].id", f'two rules have the id "{rule.id}"; give one of them another one')
        known.add(rule.id)
    for operation in sorted(policy.operations - OPERATIONS[policy.type]):
        fitting = ", ".join(sorted(OPERATIONS[policy.type]))
        compiler.fault("operations", f"{policy.type} policies never judge {operation}; they judge {fitting}")
    if policy.type is Type.CLUSTER and policy.tags:
        compiler.fault("tags", "cluster policies judge what is about no single job; leave tags out")
    if find_zone(policy.timezone) is None:
        compiler.fault("timezone", f'there is no time zone "{policy.timezone}"; write one like Europe/Berlin')
    compiler.measured("parameters", dict(policy.parameters))
