"""Text with variables, as in `{"run": "{{.ExecutionID}}"}`: the body of a webhook.

A variable is `{{.Name}}`; spaces inside the braces do not matter. To send the braces themselves, write `{{"{{"}}`.
Whatever else stands between `{{` and `}}` is a mistake that `unknown_variables` names.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

VARIABLES = ("JobID", "JobName", "Namespace", "ExecutionID", "ScheduledTime", "Attempt")
EXPRESSION = re.compile(r'\{\{\s*("\{\{"|.*?)\s*\}\}', re.DOTALL)
LITERAL_BRACES = '"{{"'


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A text cut at its variables: `literals` has one element more than `names`, and they take turns."""

    literals: tuple[str, ...]
    names: tuple[str, ...]

    def render(self, values: Mapping[str, str]) -> str:
        """The text with its variables filled in. `values` holds every name of VARIABLES."""
        pieces = [self.literals[0]]
        for name, literal in zip(self.names, self.literals[1:], strict=True):
            pieces.append(values[name])
            pieces.append(literal)
        return "".join(pieces)


def parse_template(text: str) -> Template:
    """Cuts a text at its variables. What is not a known variable stays as it is."""
    literals, names, start = [""], [], 0
    for match in EXPRESSION.finditer(text):
        name = match.group(1).removeprefix(".")
        if match.group(1) == LITERAL_BRACES:
            literals[-1] += text[start : match.start()] + "{{"
        elif _is_variable(match.group(1)):
            literals[-1] += text[start : match.start()]
            names.append(name)
            literals.append("")
        else:
            literals[-1] += text[start : match.end()]
        start = match.end()
    literals[-1] += text[start:]
    return Template(literals=tuple(literals), names=tuple(names))


def unknown_variables(text: str) -> tuple[str, ...]:
    """What stands in double braces and is not a variable, as written, without repeats, in order."""
    wrong = (m.group(0) for m in EXPRESSION.finditer(text) if not _is_variable(m.group(1), allow_braces=True))
    return tuple(dict.fromkeys(wrong))


def _is_variable(expression: str, *, allow_braces: bool = False) -> bool:
    if allow_braces and expression == LITERAL_BRACES:
        return True
    return expression.startswith(".") and expression[1:] in VARIABLES
