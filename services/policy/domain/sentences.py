"""Why a condition does not hold: in words, with the first field that is to blame."""

import json
from typing import NamedTuple

from services.policy.domain.conditions import ExpressionNode, GroupNode, Node, TestNode
from services.policy.domain.facts import Facts
from services.policy.domain.operators import NEGATIONS
from services.policy.domain.policy import Json

LONGEST_VALUE = 500
"""Characters of a value that a result carries."""
LONGEST_WORDS = 100
"""Characters of a value within a sentence."""
MOST_PARTS = 3
"""Alternatives that a sentence names."""
ENCODER = json.JSONEncoder(ensure_ascii=False)
WORDS = {
    "equals": "must be {}",
    "not_equals": "must not be {}",
    "contains": "must contain {}",
    "not_contains": "must not contain {}",
    "starts_with": "must start with {}",
    "ends_with": "must end with {}",
    "matches": "must match {}",
    "in": "must be one of {}",
    "not_in": "must be none of {}",
    "greater_than": "must be more than {}",
    "greater_or_equal": "must be at least {}",
    "less_than": "must be less than {}",
    "less_or_equal": "must be at most {}",
    "exists": "must be there",
    "not_exists": "must not be there",
    "is_empty": "must be empty",
    "is_not_empty": "must not be empty",
}


class Blame(NamedTuple):
    """What a condition that does not hold says."""

    message: str
    field: str = ""
    actual_value: Json = None
    is_unknown: bool = False
    """It is not known to hold, which the message tells: a rule's own message does not."""


def blame(node: Node, facts: Facts) -> Blame:
    """Why a condition does not hold: of `and` the first part that does not, of `or` all of them."""
    if isinstance(node, TestNode):
        return _blame_test(node, facts)
    if isinstance(node, ExpressionNode):
        outcome = node.program.outcome(facts)
        if isinstance(outcome, str):
            return Blame(f"the expression gives nothing, since {outcome}", is_unknown=True)
        return Blame("the expression is not true")
    if node.word == "not":
        return _blame_not(node.nodes[0], facts)
    faults = [blame(inner, facts) for inner in node.nodes if not inner.holds(facts)]
    if node.word == "and" or len(faults) == 1:
        return faults[0]
    more = f", or {len(faults) - MOST_PARTS} more" if len(faults) > MOST_PARTS else ""
    message = ", or ".join(fault.message for fault in faults[:MOST_PARTS]) + more
    return Blame(message, faults[0].field, faults[0].actual_value, any(fault.is_unknown for fault in faults))


def cut(value: Json) -> Json:
    """A value as results carry it: what is long is a text that ends in dots."""
    if isinstance(value, str):
        return value if len(value) <= LONGEST_VALUE else value[:LONGEST_VALUE] + "..."
    if isinstance(value, (list, dict)):
        text = _json(value, LONGEST_VALUE)
        return text if text.endswith("...") else value
    return value


def _blame_test(node: TestNode, facts: Facts) -> Blame:
    for field, value in node.path.places(facts):
        outcome = node.check(value)
        if outcome is None:
            return Blame(f"{field} is too long for the regular expression", field, cut(value), is_unknown=True)
        if not outcome:
            return Blame(f"{field} {_must(node)}", field, cut(value))
    return Blame(f"{node.path.text} {_must(node)}", node.path.text)


def _blame_not(node: Node, facts: Facts) -> Blame:
    if node.holds(facts) is None:
        return blame(node, facts)
    if isinstance(node, GroupNode) and node.word == "not":
        return blame(node.nodes[0], facts)
    if isinstance(node, ExpressionNode):
        return Blame("the expression must not be true")
    if isinstance(node, TestNode):
        field, value = next(
            (place for place in node.path.places(facts) if node.check(place[1])), (node.path.text, None)
        )
        return Blame(f"{field} {_must_not(node)}", field, cut(value))
    guilty = next(inner for inner in node.nodes if inner.holds(facts))
    inner = _blame_not(guilty, facts)
    return inner if node.word == "or" else inner._replace(message=f"not all of these may hold: {inner.message}, ...")


def _must(node: TestNode) -> str:
    return WORDS[node.operator].format(_shown(node.value))


def _must_not(node: TestNode) -> str:
    opposite = NEGATIONS.get(node.operator) or next((no for no, yes in NEGATIONS.items() if yes == node.operator), "")
    if opposite:
        return WORDS[opposite].format(_shown(node.value))
    return _must(node).replace("must", "must not", 1)


def _shown(value: Json) -> str:
    return _json(value, LONGEST_WORDS)


def _json(value: Json, longest: int) -> str:
    """A value as JSON, which is not written any further than it is shown."""
    if not isinstance(value, (list, dict)):
        text = json.dumps(value[: longest + 1] if isinstance(value, str) else value, ensure_ascii=False)
        return text if len(text) <= longest else text[:longest] + "..."
    text = ""
    for part in ENCODER.iterencode(value):
        text += part[: longest + 1]
        if len(text) > longest:
            return text[:longest] + "..."
    return text
