"""The policies that are shipped, as YAML files."""

from collections.abc import Sequence
from pathlib import Path

import yaml
from chronos.policy.v1 import policy_pb2
from google.protobuf.json_format import ParseDict

FOLDER = Path(__file__).resolve().parents[1] / "builtins"
NOT_STORED = "tests"


def shipped_policies(folder: Path = FOLDER) -> Sequence[policy_pb2.Policy]:
    """One policy for each file, in the order of their names."""
    return [_policy(path) for path in sorted(folder.glob("*.yaml"))]


def _policy(path: Path) -> policy_pb2.Policy:
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    document.pop(NOT_STORED, None)
    policy: policy_pb2.Policy = ParseDict(document, policy_pb2.Policy())
    return policy
