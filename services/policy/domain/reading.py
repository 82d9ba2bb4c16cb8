"""Fields of documents, each with its type, and what is wrong with them."""

from collections.abc import Iterable, Mapping

from services.policy.domain.policy import Json
from services.policy.domain.problems import PolicyError, Problem


class Reader:
    """Reads fields, and gathers problems: what is wrong reads as if it were not given. Null is not given."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def fault(self, path: str, description: str) -> None:
        """Notes a problem."""
        self.problems.append(Problem(path, description))

    def finish(self) -> None:
        """Raises PolicyError when there were problems."""
        if self.problems:
            raise PolicyError(self.problems)

    def known(self, document: Mapping[str, Json], fields: frozenset[str], path: str) -> None:
        """Notes fields that there are not."""
        for key in document.keys() - fields:
            self.fault(_join(path, str(key)), f"there is no such field; there are {', '.join(sorted(fields))}")

    def text(self, document: Mapping[str, Json], key: str, path: str) -> str:
        """A text; empty when it is not given."""
        value = document.get(key)
        if value is not None and not isinstance(value, str):
            self.fault(_join(path, key), "it must be a text")
        return value if isinstance(value, str) else ""

    def integer(self, document: Mapping[str, Json], key: str, path: str, default: int) -> int:
        """A whole number."""
        value = document.get(key)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if value is None or (isinstance(value, int) and not isinstance(value, bool)):
            return default if value is None else value
        self.fault(_join(path, key), "it must be a whole number")
        return default

    def boolean(self, document: Mapping[str, Json], key: str, path: str, *, default: bool) -> bool:
        """True or false."""
        value = document.get(key)
        if value is not None and not isinstance(value, bool):
            self.fault(_join(path, key), "it must be true or false")
        return value if isinstance(value, bool) else default

    def map(self, document: Mapping[str, Json], key: str, path: str) -> dict[str, Json]:
        """A map; empty when it is not given."""
        value = document.get(key)
        if value is None or (isinstance(value, dict) and all(isinstance(name, str) for name in value)):
            return value or {}
        self.fault(_join(path, key), "it must be a map")
        return {}

    def text_map(self, document: Mapping[str, Json], key: str, path: str) -> dict[str, str]:
        """A map of texts."""
        found = self.map(document, key, path)
        return {name: self.text(found, name, _join(path, key)) for name in found}

    def maps(self, document: Mapping[str, Json], key: str, path: str) -> Iterable[tuple[dict[str, Json], str]]:
        """The maps of a list, each with its path."""
        for value, where in self._elements(document, key, path):
            if isinstance(value, dict):
                yield value, where
            else:
                self.fault(where, "it must be a map")

    def texts(self, document: Mapping[str, Json], key: str, path: str) -> list[str]:
        """The texts of a list."""
        found = []
        for value, where in self._elements(document, key, path):
            if isinstance(value, str):
                found.append(value)
            else:
                self.fault(where, "it must be a text")
        return found

    def _elements(self, document: Mapping[str, Json], key: str, path: str) -> list[tuple[Json, str]]:
        value = document.get(key)
        if isinstance(value, list):
            return [(element, f"{_join(path, key)}[{place}]") for place, element in enumerate(value)]
        if value is not None:
            self.fault(_join(path, key), "it must be a list")
        return []


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path and key else path or key
