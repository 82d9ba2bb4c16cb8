"""The tables of docs/policies/language.md are what the operators do, cell by cell."""

import json
import re
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.policy.domain.equality import is_same, key_of
from services.policy.domain.operators import ALIASES, NEGATIONS, OPERATORS, VALUELESS, canonical, check_of
from services.policy.domain.policy import Json, Not, Test
from tests.unit.policy.language import holds

PAGE = Path(__file__).parents[3] / "docs" / "policies" / "language.md"
QUOTED = re.compile(r"`([^`]*)`")


class Cell(NamedTuple):
    field: str
    operator: str
    value: Json
    job: dict[str, Json]
    is_held: bool


def cells() -> list[Cell]:
    """Every cell of the tables whose columns are values."""
    found = []
    fields = iter(["field", "steps[*].url"])
    for table in re.findall(r"(?m)^\| Operator \| `.*(?:\n\|.*)+", PAGE.read_text()):
        field = next(fields)
        head, _, *rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table.splitlines()]
        for row in rows:
            operator, value = (*QUOTED.findall(row[0]), "null")[:2]
            for column, cell in zip(head[1:], row[1:], strict=True):
                is_held = {"yes": True, "no": False}[cell.strip()]
                stands = jobs(field.split("[")[0], column.strip())
                found += [Cell(field, operator, json.loads(value), job, is_held) for job in stands]
    return found


def jobs(name: str, column: str) -> list[dict[str, Json]]:
    """The jobs that a column's head stands for."""
    stands = [{name: json.loads(text)} for text in QUOTED.findall(column)]
    return [{}, *stands] if column.startswith("missing") else stands


CELLS = cells()
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    "cell", CELLS, ids=lambda cell: f"{cell.operator}-{json.dumps(cell.value)}-{json.dumps(cell.job)}"
)
def test_a_cell_of_the_page_is_what_the_operator_does(cell: Cell) -> None:
    assert holds(Test(cell.field, cell.operator, cell.value), {"job": cell.job}) is cell.is_held


def test_the_page_has_every_operator_with_every_kind_of_field() -> None:
    assert {cell.operator for cell in CELLS if cell.field == "field"} == OPERATORS
    assert len(OPERATORS) == 17
    kinds = {type(cell.job.get("field")) for cell in CELLS}
    assert kinds >= {str, int, bool, list, dict, type(None)}
    assert len(CELLS) > 400


def test_the_page_has_every_alias() -> None:
    sentence = re.search(r"The aliases are ([^.]*)\.", PAGE.read_text())
    assert sentence is not None
    assert set(QUOTED.findall(sentence[1])) == set(ALIASES)


@pytest.mark.parametrize("alias", sorted(ALIASES))
def test_an_alias_does_what_its_operator_does(alias: str) -> None:
    assert canonical(alias) in OPERATORS
    value: Json = "4" if alias == "regex_matches" else 4
    jobs: list[Json] = [{"field": 4}, {"field": 5}, {"field": 3}, {"field": "4"}, {}]
    for job in jobs:
        as_written, as_meant = Test("field", alias, value), Test("field", canonical(alias), value)
        assert holds(as_written, {"job": job}) is holds(as_meant, {"job": job})


@given(found=json_values, value=json_values)
def test_a_negation_holds_exactly_where_its_operator_does_not(found: Json, value: Json) -> None:
    for negation, positive in NEGATIONS.items():
        operand: Json = [value, 1] if positive == "in" else "x" if value is None else value
        operand = None if positive in VALUELESS else operand
        job: dict[str, Json] = {"job": {"field": found}}
        is_held = holds(Test("field", positive, operand), job)
        assert holds(Test("field", negation, operand), job) is not is_held
        assert holds(Not(Test("field", positive, operand)), job) is not is_held


@given(found=json_values)
def test_null_is_missing_to_every_operator(found: Json) -> None:
    value: dict[str, Json] = {"in": [found], "not_in": [found], "matches": "a", "starts_with": "a", "ends_with": "a"}
    for operator in OPERATORS:
        operand: Json = None if operator in VALUELESS else value.get(operator, 5)
        assert holds(Test("field", operator, operand), {"job": {"field": None}}) is holds(
            Test("field", operator, operand), {"job": {}}
        )


@given(one=json_values, other=json_values)
def test_values_have_the_same_key_exactly_when_they_are_the_same(one: Json, other: Json) -> None:
    assert (key_of(one) == key_of(other)) is is_same(one, other)
    assert is_same(one, one)
    assert is_same(one, json.loads(json.dumps(one)))


@pytest.mark.parametrize(
    ("less", "more"),
    [
        (-1, 0.5),
        ("1m30s", "2m"),
        ("90s", "1.6m"),
        ("2026-03-01T09:00:00Z", "2026-03-01T09:00:00.5Z"),
        ("2026-03-01T10:00:00+02:00", "2026-03-01T09:00:00Z"),
    ],
)
def test_numbers_durations_and_times_have_an_order(less: Json, more: Json) -> None:
    assert check_of("less_than", more)(less)
    assert check_of("greater_than", less)(more)
    assert not check_of("less_than", less)(more)
    assert check_of("less_or_equal", less)(less)
    assert check_of("greater_or_equal", less)(less)


def test_what_is_of_another_kind_is_neither_more_nor_less() -> None:
    kinds: list[Json] = [5, "5m", "2026-03-01T09:00:00Z"]
    others: list[Json] = ["5", "2026-03-01", "2026-03-01T09:00:00", "five", True, [5], {}, None]
    for bound in kinds:
        for found in kinds + others:
            if found != bound:
                assert not check_of("less_or_equal", bound)(found)
                assert not check_of("greater_or_equal", bound)(found)


def test_a_time_is_the_same_in_another_zone() -> None:
    assert check_of("less_or_equal", "2026-03-01T09:00:00Z")("2026-03-01T10:00:00+01:00")
    assert check_of("greater_or_equal", "2026-03-01T09:00:00Z")("2026-03-01T10:00:00+01:00")
