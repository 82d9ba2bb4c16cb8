"""Files: YAML or JSON; jobs, policies, calendars and namespaces, one or several."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from chronos.policy.v1.policy_pb2 import Policy
from chronos.scheduler.v1.calendar_pb2 import Calendar
from chronos.scheduler.v1.namespace_pb2 import Namespace
from google.protobuf.descriptor import Descriptor

from cli.chronosctl.errors import UsageError
from cli.chronosctl.fields import JOB
from cli.chronosctl.values import in_json_form
from cli.chronosctl.yaml_text import yaml_documents

Json = dict[str, Any]
STANDARD_INPUT = "-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What a file can hold."""

    name: str
    # The key that a list of them stands under; also their place in the API's paths.
    plural: str
    message: Descriptor
    example: str


JOBS = Kind(name="job", plural="jobs", message=JOB, example="`name:` and `schedule:`")
CALENDARS = Kind(
    name="calendar", plural="calendars", message=Calendar.DESCRIPTOR, example="`id:`, `name:` and `dates:`"
)
NAMESPACES = Kind(name="namespace", plural="namespaces", message=Namespace.DESCRIPTOR, example="`id:` and `quotas:`")
POLICIES = Kind(name="policy", plural="policies", message=Policy.DESCRIPTOR, example="`id:`, `name:` and `rules:`")
# What is named by others comes first; policies judge the jobs that come with them.
KINDS = (NAMESPACES, CALENDARS, POLICIES, JOBS)


def read_all(source: str, kind: Kind = JOBS) -> list[Json]:
    """The things of one kind in a file, or on standard input for `-`, in the JSON form of the API. At least one.

    A file holds one of them, a list, a mapping with their plural as its only key, or several such documents.
    Raises UsageError.
    """
    found = read_bundle(source, kind)
    for other, items in found.items():
        if other is not kind and items:
            raise UsageError(f"{source} holds {other.plural} too; `chronosctl apply -f {source}` takes everything")
    if not found[kind]:
        raise UsageError(f"{source} holds no {kind.name}")
    return found[kind]


def read_one(source: str, kind: Kind = JOBS) -> Json:
    """The only thing of its kind in a file. Raises UsageError when there are several."""
    found = read_all(source, kind)
    if len(found) != 1:
        raise UsageError(f"{source} holds {len(found)} {kind.plural}; this command takes one")
    return found[0]


def read_bundle(source: str, plain: Kind = JOBS) -> dict[Kind, list[Json]]:
    """Everything in a file, by kind; of the kind `plain` where no `jobs:`, `policies:` or the like says it."""
    found: dict[Kind, list[Json]] = {kind: [] for kind in KINDS}
    for document in _documents(source_text(source), source):
        for kind, items in _by_kind(document, source, plain).items():
            found[kind] += items
    for kind, items in found.items():
        for number, item in enumerate(items, start=1):
            _check_keys(item, f"{source}: {kind.name} {number}")
        found[kind] = [in_json_form(item, kind.message) for item in items]
    return found


def source_text(source: str) -> str:
    """The text of a file, or of standard input for `-`. Raises UsageError."""
    try:
        return sys.stdin.read() if source == STANDARD_INPUT else Path(source).read_text()
    except OSError as error:
        raise UsageError(f"cannot read {source}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{source} is not a text file in UTF-8") from error


def _documents(text: str, source: str) -> list[Any]:
    try:
        return list(yaml_documents(text))
    except yaml.YAMLError as error:
        advice = (
            "; a schedule that begins with * needs quotes, and a path with [*] too" if "alias" in str(error) else ""
        )
        raise UsageError(f"{source} is neither YAML nor JSON{advice}:\n{error}") from error


def _by_kind(document: Any, source: str, plain: Kind) -> dict[Kind, list[Json]]:
    kinds = {kind.plural: kind for kind in KINDS}
    if isinstance(document, dict) and document and document.keys() <= kinds.keys():
        return {kinds[key]: _items(items, source, kinds[key]) for key, items in document.items()}
    if document is None:
        return {}
    if not isinstance(document, dict | list):
        raise UsageError(
            f"{source} holds {type(document).__name__} where a {plain.name} is wanted: fields such as {plain.example}"
        )
    return {plain: _items(document if isinstance(document, list) else [document], source, plain)}


def _items(items: Any, source: str, kind: Kind) -> list[Json]:
    if not isinstance(items, list):
        raise UsageError(f"{source}: `{kind.plural}:` is a list; begin each of them with `- `")
    wrong = next((item for item in items if not isinstance(item, dict)), None)
    if wrong is not None:
        raise UsageError(f"{source}: {wrong!r} is not a {kind.name}; it has fields such as {kind.example}")
    return items


def _check_keys(value: Any, where: str) -> None:
    """Refuses what YAML can say and JSON cannot: keys that are not text, binary values."""
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise UsageError(f"{where}: the key {key!r} is not text; put it in quotes")
            _check_keys(item, f"{where}.{key}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _check_keys(item, f"{where}[{index}]")
    elif value is not None and not isinstance(value, str | int | float | bool):
        raise UsageError(f"{where}: {value} is read as {type(value).__name__}; put it in quotes")
