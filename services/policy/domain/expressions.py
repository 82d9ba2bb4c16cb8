"""Expressions in CEL, compiled once and run within bounds."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import cel

from services.policy.domain.cel_text import NAMESPACE, Shape, read_shape
from services.policy.domain.facts import ROOTS, USES, Facts
from services.policy.domain.limits import (
    MAX_EXPRESSION_CHARACTERS,
    MAX_EXPRESSION_COST,
    MAX_SEARCH_STEPS,
    Extent,
    measure,
)
from services.policy.domain.patterns import searcher
from services.policy.domain.policy import Json

FUNCTIONS = frozenset(
    {"all", "exists", "exists_one", "existsOne", "map", "filter", "has", "size", "contains", "startsWith", "endsWith"}
    | {"found_by", "int", "uint", "double", "string", "bytes", "bool", "timestamp", "duration", "type", "dyn"}
    | {"getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear", "getFullYear", "getHours", "getMilliseconds"}
    | {"getMinutes", "getMonth", "getSeconds", "min", "max"}
)
TYPES = frozenset(
    {"int", "uint", "double", "string", "bytes", "bool", "list", "map", "null_type", "timestamp", "duration"}
)
STEPS_TO_COMPILE = 1000
"""Of a search, for each character of a regular expression: 10,000 characters of them an expression."""
ABSENT: Final[Mapping[str, Json]] = {root: None if root == "before" else {} for root in ROOTS} | {
    "operation": "",
    "namespace": "",
    "calendars": [],
}
"""What a root is that nothing is known of, so that `has(load.job_runs)` is false and `before == null` is true."""


class Program:
    """A compiled expression."""

    def __init__(self, text: str) -> None:
        """Raises ValueError with a sentence when it means nothing, or could take too long whatever the facts."""
        if len(text) > MAX_EXPRESSION_CHARACTERS:
            raise ValueError(f"an expression has at most {MAX_EXPRESSION_CHARACTERS:,} characters")
        self.shape: Shape = read_shape(text)
        try:
            self._program = cel.compile(self.shape.rewritten)
        except ValueError as error:
            raise ValueError(f"it is no CEL: {_first_line(error)}") from None
        variables = {"namespace" if name == NAMESPACE else name for name in self._program.variables()}
        names = frozenset(variables) - self.shape.bound - TYPES
        _refuse_unknown(names, frozenset(self._program.functions()))
        self._roots = tuple(sorted(names & ROOTS))

    @property
    def roots(self) -> frozenset[str]:
        """The facts that it looks at."""
        return frozenset(self._roots)

    @property
    def uses(self) -> frozenset[str]:
        """Those of them that have to be found out."""
        return self.roots & USES

    def holds(self, facts: Facts) -> bool | None:
        """Whether it gives true; None when it gives nothing: an error, or it would take too long."""
        outcome = self.outcome(facts)
        return outcome if isinstance(outcome, bool) else None

    def outcome(self, facts: Facts) -> bool | str:
        """What it gives, or why it gives nothing: a sentence's end after "the expression gives nothing, since "."""
        scene = facts.scenes.get(self._roots)
        if scene is None:
            scene = facts.scenes[self._roots] = Scene(facts, self._roots)
        cost = self.shape.cost(scene.extent)
        if cost > MAX_EXPRESSION_COST:
            return f"it could take {cost:,} steps, and the most is {MAX_EXPRESSION_COST:,}"
        scene.begin()
        outcome = _run(self._program.execute, scene.context)
        return scene.failure or outcome


class Scene:
    """What expressions see that look at the same facts."""

    def __init__(self, facts: Facts, roots: tuple[str, ...]) -> None:
        known = {root: ABSENT[root] if facts.get(root) is None else facts[root] for root in roots}
        extents = [measure(value) for value in known.values()]
        self.extent = Extent(
            longest=max((extent.longest for extent in extents), default=0),
            longest_text=max((extent.longest_text for extent in extents), default=0),
            values=sum(extent.values for extent in extents),
        )
        self.failure = ""
        """Why a search of the expression was not made."""
        variables = {NAMESPACE if root == "namespace" else root: value for root, value in known.items()}
        self.context = cel.Context(variables=variables, functions={"found_by": self._found_by})
        self._patterns: set[str] = set()
        self._steps_left = 0

    def begin(self) -> None:
        """Gives the next expression its own searches."""
        self._patterns.clear()
        self._steps_left = MAX_SEARCH_STEPS
        self.failure = ""

    # A function that raises makes the library write to stderr, so that failures are kept instead.
    def _found_by(self, text: Any, pattern: Any) -> bool:
        if not isinstance(text, str) or not isinstance(pattern, str):
            self.failure = "matches compares texts"
            return False
        try:
            return self._found(text, pattern)
        except ValueError as error:
            self.failure = str(error)
            return False

    def _found(self, text: str, pattern: str) -> bool:
        if pattern not in self._patterns:
            self._patterns.add(pattern)
            self._steps_left -= STEPS_TO_COMPILE * len(pattern)
        search = searcher(pattern) if self._steps_left > 0 else None
        self._steps_left -= search.steps(text) if search else 0
        found = search.find(text) if search and self._steps_left > 0 else None
        if found is None:
            raise ValueError("its searches with matches would take too long")
        return found


def _run(execute: Callable[[cel.Context], Any], context: cel.Context) -> bool | str:
    try:
        result = execute(context)
    except KeyError as error:
        return f"there is no {_first_line(error)}"
    except Exception as error:  # noqa: BLE001 - whatever an expression does to itself, it does not hold
        return _first_line(error)
    except BaseException as error:
        # A panic of the library is no Exception, and would end the process that asked.
        if type(error).__name__ != "PanicException":
            raise
        return "it makes the CEL library fail"
    return result if isinstance(result, bool) else f"it gives {type(result).__name__}, not true or false"


def _refuse_unknown(names: frozenset[str], functions: frozenset[str]) -> None:
    unknown = sorted(names - ROOTS)
    if unknown:
        raise ValueError(
            f"it looks at `{unknown[0]}`, which is no fact; the facts are {', '.join(sorted(ROOTS))}: "
            f"a field of the job is job.{unknown[0]}"
        )
    odd = sorted(name for name in functions - FUNCTIONS if name[0].isalpha())
    if odd:
        raise ValueError(f"there is no function `{odd[0]}`")


def _first_line(error: Exception) -> str:
    lines = str(error).splitlines() or [""]
    return lines[0].replace("found_by", "matches").replace(NAMESPACE, "namespace")[:200]
