"""Who may import whom inside a service: domain ← ports ← use cases and loops ← servicer | adapters ← app.

The contracts in pyproject.toml say the rest (`lint-imports`).
"""

import functools
from enum import IntEnum

import grimp
import pytest

from tests.architecture.tree import SERVICES


class Layer(IntEnum):
    """From the inside out. A module imports its own layer and those further in."""

    DOMAIN = 0
    PORTS = 1
    USE_CASES = 2
    EDGES = 3
    APP = 4


LAYER_BY_NAME = {
    "domain": Layer.DOMAIN,
    "ports": Layer.PORTS,
    "servicer": Layer.EDGES,
    "adapters": Layer.EDGES,
    "app": Layer.APP,
    "__main__": Layer.APP,
}
# Plain values and mappings, which every layer but the domain and the ports may use.
SHARED = ("convert", "settings", "metrics")


@functools.cache
def import_graph() -> grimp.ImportGraph:
    return grimp.build_graph("services", "libs", "cli", include_external_packages=False)


def part_of(module: str) -> str:
    """The direct child of a service's package that a module is or lies in."""
    parts = module.split(".")
    return parts[2] if len(parts) > 2 else ""


def layer_of(part: str) -> Layer:
    return LAYER_BY_NAME.get(part, Layer.USE_CASES)


def edges(service: str) -> list[tuple[str, str]]:
    """Imports inside a service, as pairs of its parts."""
    graph = import_graph()
    package = f"services.{service}"
    inside = {package, *graph.find_descendants(package)}
    return [
        (importer, imported)
        for importer in sorted(inside)
        for imported in sorted(graph.find_modules_directly_imported_by(importer) & inside)
        if part_of(importer) != part_of(imported) and part_of(imported)
    ]


@pytest.mark.parametrize("service", SERVICES)
def test_imports_point_inwards(service: str) -> None:
    wrong = [
        f"{importer} imports {imported}"
        for importer, imported in edges(service)
        if layer_of(part_of(importer)) < layer_of(part_of(imported)) and part_of(imported) not in SHARED
    ]
    assert wrong == []


@pytest.mark.parametrize("service", SERVICES)
def test_the_domain_and_the_ports_know_nothing_further_out(service: str) -> None:
    wrong = [
        f"{importer} imports {imported}"
        for importer, imported in edges(service)
        if layer_of(part_of(importer)) <= Layer.PORTS and layer_of(part_of(imported)) > Layer.PORTS
    ]
    assert wrong == []


@pytest.mark.parametrize("service", SERVICES)
def test_adapters_know_no_use_case_and_no_servicer(service: str) -> None:
    allowed = {"domain", "ports", *SHARED}
    wrong = [
        f"{importer} imports {imported}"
        for importer, imported in edges(service)
        if part_of(importer) == "adapters" and part_of(imported) not in allowed
    ]
    assert wrong == []


@pytest.mark.parametrize("service", SERVICES)
def test_the_servicer_knows_no_adapter(service: str) -> None:
    wrong = [edge for edge in edges(service) if part_of(edge[0]) == "servicer" and part_of(edge[1]) == "adapters"]
    assert wrong == []


@pytest.mark.parametrize("service", SERVICES)
def test_only_the_entry_point_knows_the_composition_root(service: str) -> None:
    wrong = [edge for edge in edges(service) if part_of(edge[1]) == "app" and part_of(edge[0]) != "__main__"]
    assert wrong == []
