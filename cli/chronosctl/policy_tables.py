"""Policies, and what they say, as rows."""

import json
from collections.abc import Iterator
from typing import Any

from cli.chronosctl.moments import shown_time
from cli.chronosctl.output import Output, Row
from cli.chronosctl.tables import known
from cli.chronosctl.target_facts import pairs_text
from cli.chronosctl.verdicts import outcome, rule_of, said, stood, verdict_line, verdicts

Json = dict[str, Any]
POLICY_COLUMNS = ("ID", "TYPE", "ENABLED", "DOES", "PRIORITY", "RULES", "VERSION", "CHANGED", "NAME")
VERSION_COLUMNS = ("VERSION", "WHEN", "WHO", "ENABLED", "DOES", "PRIORITY", "RULES")
RULE_COLUMNS = ("RULE", "DOES", "MUST HOLD", "ELSE")
VERDICT_COLUMNS = ("SAYS", "RULE", "WHY", "WHAT STOOD THERE")
DECISION_COLUMNS = ("WHEN", "OUTCOME", "OPERATION", "JOB", "WHO", "WHY")


def policy_row(policy: Json) -> Row:
    """One line of `policy list`."""
    return (
        policy.get("id", ""),
        known(policy.get("type"), "JOB"),
        policy.get("enabled", True),
        known(policy.get("action"), "DENY"),
        policy.get("priority") or 0,
        len(policy.get("rules") or ()),
        policy.get("version", ""),
        _changed(policy),
        policy.get("name", ""),
    )


def version_row(policy: Json) -> Row:
    """One line of `policy versions`."""
    _, _, *how, rules, number, _, _ = policy_row(policy)
    return (number, shown_time(policy.get("updated_at") or ""), policy.get("updated_by", ""), *how, rules)


def show_policy(output: Output, policy: Json) -> None:
    """One policy, what is not set left out, and its rules."""
    output.facts(
        [
            ("id", policy.get("id", "")),
            ("name", policy.get("name", "")),
            ("description", policy.get("description", "")),
            ("type", known(policy.get("type"), "JOB")),
            ("enabled", policy.get("enabled", True)),
            ("priority", policy.get("priority") or 0),
            ("severity", known(policy.get("severity"), "ERROR")),
            ("action", known(policy.get("action"), "DENY")),
            ("operations", ", ".join(policy.get("operations") or ()) or "all of its type"),
            ("namespaces", ", ".join(policy.get("namespaces") or ()) or "all"),
            ("tags", pairs_text(policy.get("tags"))),
            ("parameters", "\n".join(f"{name} = {_json(v)}" for name, v in (policy.get("parameters") or {}).items())),
            ("time zone", policy.get("timezone", "")),
            ("version", policy.get("version", "")),
            ("changed", _changed(policy)),
            ("etag", policy.get("etag", "")),
        ]
    )
    output.text("")
    output.table(RULE_COLUMNS, [_rule_row(rule, policy) for rule in policy.get("rules") or ()])


def condition_text(condition: Json) -> str:
    """A condition in one line: `webhook.url starts_with "https://" and not (tags.team is_empty)`."""
    for word in ("and", "or"):
        if condition.get(word):
            return f" {word} ".join(_in_brackets(part) for part in condition[word])
    if condition.get("not"):
        return f"not ({condition_text(condition['not'])})"
    if condition.get("expression"):
        return str(condition["expression"])
    return " ".join((condition.get("field", ""), condition.get("operator", ""), *_operand(condition)))


def show_decision(output: Output, decision: Json) -> None:
    """What policies say to one operation."""
    output.text(f"{outcome(decision)}.")
    rows = [(word, rule_of(result), said(result), stood(result)) for word, result in verdicts(decision)]
    if rows:
        output.text("")
        output.table(VERDICT_COLUMNS, rows)


def decision_row(decision: Json) -> Row:
    """One line of `policy decisions`."""
    return (
        shown_time(decision.get("time") or ""),
        known(decision.get("outcome")),
        known(decision.get("operation")),
        decision.get("job_id", ""),
        decision.get("caller") or "the clock",
        why(decision.get("decision") or {}),
    )


def why(decision: Json) -> str:
    """A line for each rule that had something to say."""
    return "\n".join(verdict_line(result) for _, result in verdicts(decision))


def _rule_row(rule: Json, policy: Json) -> Row:
    does = known(rule.get("action")) or known(policy.get("action"), "DENY")
    return (rule.get("id", ""), does, condition_text(rule.get("condition") or {}), rule.get("message", ""))


def _in_brackets(condition: Json) -> str:
    text = condition_text(condition)
    is_simple = condition.get("field") or condition.get("not")
    return text if is_simple else f"({text})"


def _operand(condition: Json) -> Iterator[str]:
    if condition.get("parameter"):
        yield f"params.{condition['parameter']}"
    elif condition.get("value") is not None:
        yield _json(condition["value"])


def _changed(policy: Json) -> str:
    return f"{shown_time(policy.get('updated_at') or '')} by {policy.get('updated_by') or 'nobody'}"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
