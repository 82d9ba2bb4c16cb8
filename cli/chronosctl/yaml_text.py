"""YAML as people mean it in a job file: `22:00` and `2026-12-25` are text, as they are in YAML 1.2 and in JSON."""

import re
from collections.abc import Iterator
from typing import Any

import yaml

_NUMBERS = {
    "tag:yaml.org,2002:int": re.compile(r"[-+]?(0|[1-9][0-9_]*|0x[0-9a-fA-F_]+)$"),
    "tag:yaml.org,2002:float": re.compile(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))([eE][-+]?[0-9]+)?$"),
}
_REPLACED = (*_NUMBERS, "tag:yaml.org,2002:timestamp")


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag not in _REPLACED]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


for _tag, _pattern in _NUMBERS.items():
    _Loader.add_implicit_resolver(_tag, _pattern, list("-+0123456789."))


def yaml_documents(text: str) -> Iterator[Any]:
    """The documents of a text, one after the other. Raises yaml.YAMLError."""
    yield from yaml.load_all(text, _Loader)


def yaml_value(text: str) -> Any:
    """The value that a text means. Raises yaml.YAMLError."""
    return yaml.load(text, _Loader)
