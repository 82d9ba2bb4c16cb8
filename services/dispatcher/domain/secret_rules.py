"""Which secrets the jobs of a namespace may refer to."""

from collections.abc import Iterable, Mapping, Sequence

from libs.names import is_id
from libs.secret_references import SHAPES, Reference

OTHERS = "*"
Rules = Mapping[str, Sequence[str]]


def parse_rules(texts: Iterable[str]) -> Rules:
    """Rules written `NAMESPACE=SOURCE:PREFIX`, or `*=…` for namespaces without any. Raises ValueError."""
    rules: dict[str, list[str]] = {}
    for text in texts:
        namespace, equals, prefix = text.partition("=")
        source, colon, _ = prefix.partition(":")
        if not equals or not colon or source not in SHAPES or not (namespace == OTHERS or is_id(namespace)):
            raise ValueError(
                f'"{text}" is no rule; write NAMESPACE=SOURCE:PREFIX, for example billing=vault:secret/billing/ '
                f"(namespace * is for all others; sources are {', '.join(SHAPES)})"
            )
        rules.setdefault(namespace, []).append(prefix)
    return rules


def is_allowed(rules: Rules, namespace: str, reference: Reference) -> bool:
    """Whether a job of the namespace may have the secret. Without any rules, all may have all."""
    prefixes = rules.get(namespace, rules.get(OTHERS, ()))
    return not rules or reference.place.startswith(tuple(prefixes))
