"""What is done to the traffic between two nodes of a mesh: pure rules, one per direction."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Mode(StrEnum):
    """What happens to bytes on their way."""

    CUT = "cut"
    """They stop. Connections stay open and nobody is told; new ones are not answered."""
    RESET = "reset"
    """Connections break at once, and new ones too."""
    SLOW = "slow"
    """They arrive later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What happens to bytes from one node to another. Times are milliseconds; 0 bytes a second means no bound."""

    source: str
    target: str
    mode: Mode
    delay_ms: float = 0
    jitter_ms: float = 0
    bytes_per_second: int = 0

    def as_json(self) -> dict[str, Any]:
        """What `rule_of` reads."""
        return asdict(self)


def rule_of(fields: dict[str, Any]) -> Rule:
    """Reads a rule. Raises TypeError or ValueError when it is none."""
    return Rule(**{**fields, "mode": Mode(fields["mode"])})


class Rules:
    """The rules in force. Of several for one direction the worst counts: reset, then cut, then slow."""

    def __init__(self, rules: Iterable[Rule] = ()) -> None:
        self._rules: dict[tuple[str, str], Rule] = {}
        severity = {Mode.SLOW: 0, Mode.CUT: 1, Mode.RESET: 2}
        for rule in sorted(rules, key=lambda rule: severity[rule.mode]):
            self._rules[rule.source, rule.target] = rule

    def of(self, source: str, target: str) -> Rule | None:
        """The rule for bytes from `source` to `target`."""
        return self._rules.get((source, target))

    def is_cut(self, source: str, target: str) -> bool:
        """Whether no byte goes from `source` to `target`."""
        rule = self.of(source, target)
        return rule is not None and rule.mode is Mode.CUT

    def is_reset(self, one: str, other: str) -> bool:
        """Whether the two can have no connection at all."""
        return any(rule is not None and rule.mode is Mode.RESET for rule in (self.of(one, other), self.of(other, one)))


def between(ones: Iterable[str], others: Iterable[str], mode: Mode, **how: float) -> tuple[Rule, ...]:
    """Rules for both directions between two groups."""
    ones, others = tuple(ones), tuple(others)
    return one_way(ones, others, mode, **how) + one_way(others, ones, mode, **how)


def one_way(sources: Iterable[str], targets: Iterable[str], mode: Mode, **how: float) -> tuple[Rule, ...]:
    """Rules for one direction only."""
    targets = tuple(targets)
    return tuple(
        rule_of({"source": source, "target": target, "mode": mode, **how})
        for source in sources
        for target in targets
        if source != target
    )
