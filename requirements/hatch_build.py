"""Gives the wheel the dependencies of `run.in`, so that they stand in one place."""

from pathlib import Path

from hatchling.metadata.plugin.interface import MetadataHookInterface


class RequirementsHook(MetadataHookInterface):
    """Reads `dependencies` from `run.in`."""

    def update(self, metadata: dict[str, object]) -> None:
        """Fills in `dependencies`."""
        lines = (Path(__file__).parent / "run.in").read_text().splitlines()
        metadata["dependencies"] = [line for line in lines if line and not line.startswith("#")]
