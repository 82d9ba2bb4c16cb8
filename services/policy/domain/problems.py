"""What is wrong with a policy, all of it at once."""

from collections.abc import Iterable
from typing import NamedTuple


class Problem(NamedTuple):
    """One fault."""

    path: str
    """Where it is, for example `rules[2].condition.and[0].value`."""
    description: str
    """What is wrong, and how to mend it. One sentence."""


class PolicyError(ValueError):
    """A policy, or a question, that means nothing. Its text has all problems."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(f"{problem.path}: {problem.description}" for problem in self.problems))
