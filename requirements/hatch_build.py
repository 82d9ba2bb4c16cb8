"""Gives the wheel the dependencies of `run.in`, so that they stand in one place, and generated code."""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from hatchling.metadata.plugin.interface import MetadataHookInterface

GENERATED = {
    "gen/chronos": "chronos",
    "gen/buf": "buf",
    "gen/chronos.binpb": "gen/chronos.binpb",
    "gen/openapi.json": "gen/openapi.json",
}


class RequirementsHook(MetadataHookInterface):
    """Reads `dependencies` from `run.in`."""

    def update(self, metadata: dict[str, object]) -> None:
        """Fills in `dependencies`."""
        lines = (Path(__file__).parent / "run.in").read_text().splitlines()
        metadata["dependencies"] = [line for line in lines if line and not line.startswith("#")]


class GeneratedCodeHook(BuildHookInterface[Any]):
    """Puts generated code into a wheel. An editable install has paths only: a copy would hide what `make gen` wrote."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Includes what a real wheel needs."""
        if version != "editable":
            build_data["force_include"] |= GENERATED
