"""What a text in CEL is made of, as far as its cost goes. The library parses it; this only counts."""

import re
from dataclasses import dataclass

from services.policy.domain.limits import MAX_EXPRESSION_DEPTH, MAX_MACRO_DEPTH, Extent

MACROS = frozenset({"all", "exists", "exists_one", "existsOne", "map", "filter"})
BINDERS = frozenset({"optMap", "optFlatMap", "bind", "transformList", "transformMap", "transformMapEntry", "sortBy"})
"""Macros that some CEL libraries have, and that would bind a value as often as one likes."""
NAMESPACE = "its_namespace"
"""Stands for `namespace`, which CEL reserves."""
TOKEN = re.compile(
    r"""(?P<text>(?:[rR][bB]?|[bB][rR])(?:\"\"\"(?s:.*?)\"\"\"|'''(?s:.*?)'''|"[^"\n]*"|'[^'\n]*')"""
    r"""|[bB]?(?:\"\"\"(?s:\\.|[^\\])*?\"\"\"|'''(?s:\\.|[^\\])*?'''|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'))"""
    r"""|(?P<skipped>//[^\n]*|\s+)|(?P<name>[A-Za-z_][A-Za-z0-9_]*)|(?P<number>[0-9][0-9A-Za-z_.]*)"""
    r"""|(?P<open>[(\[{])|(?P<close>[)\]}])|(?P<sign>.)"""
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What decides how long an expression takes."""

    macro_depth: int
    has_map: bool
    sums: int
    """How many `+` there are."""
    names: int
    """How many names there are: each looks something up once a round, and copies it."""
    commas: int
    """A list that is spelled out has at most one element more."""
    tokens: int
    """A value that is spelled out has no more values than these."""
    bound: frozenset[str]
    """Names that macros bind."""
    rewritten: str
    """The text with `matches` spelled `found_by`, which is ours, and the fact `namespace` spelled NAMESPACE."""

    def cost(self, facts: Extent) -> int:
        """How many steps of about a microsecond it may take, where the facts that it looks at have that extent.

        A macro goes over a list or a map, the innermost as often as those around it say, and the library copies what a
        name means each time that it is looked up. `+` makes longer, and `map` keeps what each round gives.
        """
        rounds = max(facts.longest, self.commas + 1) * (1 + self.sums)
        values = (facts.values + self.tokens) * (rounds if self.has_map else 1)
        copied = (values // 100 + facts.longest_text // 1000) * (1 + self.sums) ** 2
        return int(rounds**self.macro_depth) * self.names * (1 + copied)


class _Counter:
    """Walks over the tokens once."""

    def __init__(self) -> None:
        self.brackets: list[bool] = []
        """For each open bracket, whether it holds the arguments of a macro."""
        self.macros: list[str] = []
        self.macro_depth = self.sums = self.commas = self.names = 0
        self.bound: set[str] = set()
        self.recent: tuple[str, str, str] = ("", "", "")
        self.parts: list[str] = []

    def take(self, kind: str, token: str) -> None:
        """Counts a token. Raises ValueError beyond the bounds."""
        self.parts.append(token)
        if kind == "skipped":
            return
        if token in ("'", '"'):
            raise ValueError("it has a text without an end")
        if kind == "open":
            self._open(token)
        elif kind == "close" and self.brackets:
            self.brackets.pop()
        elif kind == "name":
            self.names += 1
            if token == "namespace" and self.recent[2] != ".":
                self.parts[-1] = NAMESPACE
        elif token == "+":
            self.sums += 1
        elif token == ",":
            self.commas += 1
            if self.recent[1] == "(" and self.brackets and self.brackets[-1]:
                self.bound.add(self.recent[2])
        self.recent = (self.recent[1], self.recent[2], token if kind != "text" else '""')

    def _open(self, token: str) -> None:
        before, name = self.recent[1:]
        is_call = token == "("
        if is_call and name == "matches":
            place = max(place for place, part in enumerate(self.parts) if part == name)
            self.parts[place] = "found_by"
        if is_call and name in BINDERS:
            raise ValueError(f"there is no `{name}` in conditions")
        is_macro = is_call and before == "." and name in MACROS
        self.brackets.append(is_macro)
        if is_macro:
            self.macros.append(name)
            self.macro_depth = max(self.macro_depth, sum(self.brackets))
        if len(self.brackets) > MAX_EXPRESSION_DEPTH:
            raise ValueError(f"its brackets are nested deeper than {MAX_EXPRESSION_DEPTH}")


def read_shape(text: str) -> Shape:
    """The shape of an expression. Raises ValueError with a sentence when it could take too long whatever the facts."""
    counter = _Counter()
    for match in TOKEN.finditer(text):
        counter.take(match.lastgroup or "", match.group())
    if counter.macro_depth > MAX_MACRO_DEPTH:
        raise ValueError(f"all, exists, exists_one, map and filter are nested deeper than {MAX_MACRO_DEPTH}")
    # Each map may make lists of lists, so that a chain of them grows without bound from the smallest facts.
    if counter.macros.count("map") > 1:
        raise ValueError("it uses map more than once; say it with all or exists")
    return Shape(
        macro_depth=counter.macro_depth,
        has_map="map" in counter.macros,
        sums=counter.sums,
        names=max(counter.names, 1),
        tokens=len(counter.parts),
        commas=counter.commas,
        bound=frozenset(counter.bound),
        rewritten="".join(counter.parts),
    )
