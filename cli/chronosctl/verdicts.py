"""What policies say to an operation, in the words of the API's Decision and RuleResult, for a person."""

import json
from typing import Any

Json = dict[str, Any]
Verdict = tuple[str, Json]
LONGEST_VALUE = 200
WORDS = {"violations": "DENY", "warnings": "WARN", "audited": "AUDIT"}


def verdicts(decision: Json) -> list[Verdict]:
    """The rules that had something to say, each with what it does: the gravest first."""
    found = [(word, result) for kind, word in WORDS.items() for result in decision.get(kind) or ()]
    allowed_by = decision.get("allowed_by")
    return [*found, ("ALLOW", allowed_by)] if allowed_by else found


def outcome(decision: Json) -> str:
    """`DENIED`, `WARNED` (also when it is only accounted for) or `ALLOWED`."""
    if decision.get("violations"):
        return "DENIED"
    return "WARNED" if decision.get("warnings") or decision.get("audited") else "ALLOWED"


def verdict_line(result: Json) -> str:
    """A rule and what it says: `https-only/url: use https (webhook.url = "http://x")`."""
    place = stood(result)
    return f"{rule_of(result)}: {said(result)}" + (f" ({place})" if place else "")


def rule_of(result: Json) -> str:
    """The policy and the rule, by their ids."""
    return "/".join(part for part in (result.get("policy_id"), result.get("rule_id")) if part)


def said(result: Json) -> str:
    """What the rule tells whoever breaks it."""
    return result.get("message") or result.get("rule_name") or ""


def stood(result: Json) -> str:
    """The field that was looked at, and what stood there. Empty for an expression."""
    return standing(result["field"], result.get("actual_value")) if result.get("field") else ""


def standing(field: str, value: Any) -> str:
    """`field = value`, the value as JSON and not endless."""
    if value is None:
        return f"{field} is missing"
    text = json.dumps(value, ensure_ascii=False)
    return f"{field} = {text if len(text) <= LONGEST_VALUE else text[:LONGEST_VALUE] + ' …'}"
