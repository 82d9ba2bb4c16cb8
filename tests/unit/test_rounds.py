"""When a job runs that depends on others: the pure rounds."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.scheduler.domain.rounds import (
    MOST_PENDING,
    Condition,
    Decision,
    End,
    Rounds,
    Rule,
    advance,
    deadline_us,
    decided_id,
)

HOUR = 3_600_000_000
BOTH = frozenset({"a", "b"})


def rule(condition: Condition = Condition.ALL_SUCCESS, parents: frozenset[str] = BOTH) -> Rule:
    return Rule(parents=parents, condition=condition, timeout_us=HOUR)


def end(name: str, *, at: int = 0, ok: bool = True) -> End:
    """The run `name`, of the job that its first letter names."""
    outcome = "SUCCESS" if ok else "FAILED"
    return End(parent=name[0], execution_id=name, is_success=ok, outcome=outcome, ended_us=at)


def play(given_rule: Rule, *ends: End, now: int = 0) -> tuple[Rounds, list[Decision]]:
    """Takes the ends one by one."""
    rounds, decisions = Rounds(), []
    for each in ends:
        rounds, more = advance(rounds, given_rule, [each], now_us=now)
        decisions += more
    return rounds, decisions


def outcomes(decisions: list[Decision]) -> list[tuple[bool, list[str]]]:
    return [(decision.is_fired, [each.execution_id for each in decision.ends]) for decision in decisions]


@pytest.mark.parametrize(
    ("condition", "ends", "expected"),
    [
        (Condition.ALL_SUCCESS, [end("a1")], []),
        (Condition.ALL_SUCCESS, [end("a1"), end("b1")], [(True, ["a1", "b1"])]),
        (Condition.ALL_SUCCESS, [end("a1", ok=False)], [(False, ["a1"])]),
        (Condition.ALL_SUCCESS, [end("a1"), end("b1", ok=False)], [(False, ["a1", "b1"])]),
        (Condition.ALL_COMPLETE, [end("a1", ok=False)], []),
        (Condition.ALL_COMPLETE, [end("a1", ok=False), end("b1")], [(True, ["a1", "b1"])]),
        (Condition.ANY_SUCCESS, [end("a1", ok=False)], []),
        (Condition.ANY_SUCCESS, [end("a1", ok=False), end("b1")], [(True, ["a1", "b1"])]),
        (Condition.ANY_SUCCESS, [end("a1", ok=False), end("b1", ok=False)], [(False, ["a1", "b1"])]),
        (Condition.ANY_COMPLETE, [end("a1", ok=False)], [(True, ["a1"])]),
    ],
)
def test_a_round_is_decided_by_its_condition(
    condition: Condition, ends: list[End], expected: list[tuple[bool, list[str]]]
) -> None:
    assert outcomes(play(rule(condition), *ends)[1]) == expected


def test_a_round_takes_the_oldest_unused_end_of_each() -> None:
    rounds, decisions = play(rule(), end("a1"), end("a2"), end("a3"), end("b1"), end("b2"))
    assert outcomes(decisions) == [(True, ["a1", "b1"]), (True, ["a2", "b2"])]
    assert [each.execution_id for each in rounds.ends] == ["a3"]


def test_an_end_that_a_round_was_decided_without_counts_for_nothing() -> None:
    _, decisions = play(rule(), end("a1", ok=False), end("b1"), end("a2"), end("b2"))
    assert outcomes(decisions) == [(False, ["a1"]), (True, ["a2", "b2"])]


def test_each_round_that_was_decided_without_a_job_ignores_one_end_of_it() -> None:
    _, decisions = play(rule(Condition.ANY_COMPLETE), end("a1"), end("a2"), end("b1"), end("b2"), end("b3"))
    assert outcomes(decisions) == [(True, ["a1"]), (True, ["a2"]), (True, ["b3"])]


def test_an_end_that_comes_after_the_round_would_have_closed_counts_again() -> None:
    _, decisions = play(rule(Condition.ANY_COMPLETE), end("a1"), end("b1", at=HOUR + 1))
    assert outcomes(decisions) == [(True, ["a1"]), (True, ["b1"])]


def test_an_end_that_is_told_again_changes_nothing() -> None:
    ends = [end("a1"), end("a1"), end("b1"), end("b1"), end("a1")]
    rounds, decisions = play(rule(), *ends)
    assert outcomes(decisions) == [(True, ["a1", "b1"])]
    assert rounds.ends == ()


def test_a_round_that_takes_too_long_is_closed_and_says_who_was_missing() -> None:
    rounds, _ = play(rule(), end("a1", at=7))
    assert deadline_us(rounds, rule()) == HOUR + 7
    assert advance(rounds, rule(), [], now_us=HOUR + 6) == (rounds, [])
    rounds, decisions = advance(rounds, rule(), [], now_us=HOUR + 7)
    assert outcomes(decisions) == [(False, ["a1"])]
    assert decisions[0].at_us == HOUR + 7
    assert decisions[0].reason.startswith("b did not end within 1h after a, whose run a1 ended at 1970-01-01T00:00:00")
    assert deadline_us(rounds, rule()) is None


def test_an_end_after_the_time_of_a_round_belongs_to_the_next() -> None:
    rounds, decisions = play(rule(), end("a1"), end("b1", at=HOUR + 1))
    assert decisions == []
    rounds, decisions = advance(rounds, rule(), [end("a2", at=HOUR + 2)], now_us=HOUR + 2)
    assert outcomes(decisions) == [(False, ["a1"]), (True, ["b1", "a2"])]


def test_a_job_that_is_not_waited_for_any_more_completes_the_open_round() -> None:
    rounds, _ = play(rule(), end("a1"))
    _, decisions = advance(rounds, rule(parents=frozenset("a")), [], now_us=0)
    assert outcomes(decisions) == [(True, ["a1"])]


def test_a_job_that_is_waited_for_from_now_on_is_part_of_the_open_round() -> None:
    rounds, _ = play(rule(), end("a1"))
    wider = rule(parents=frozenset("abc"))
    rounds, decisions = advance(rounds, wider, [end("b1")], now_us=0)
    assert decisions == []
    assert outcomes(advance(rounds, wider, [end("c1")], now_us=0)[1]) == [(True, ["a1", "b1", "c1"])]


def test_of_very_many_ends_the_oldest_round_is_given_up_and_says_so() -> None:
    rounds, decisions = advance(Rounds(), rule(), [end(f"a{n}") for n in range(MOST_PENDING + 2)], now_us=0)
    assert outcomes(decisions) == [(False, ["a0"]), (False, ["a1"])]
    assert "more than 1,000" in decisions[0].reason
    assert len(rounds.ends) == MOST_PENDING


def test_what_is_too_much_at_once_is_decided_by_the_next_call() -> None:
    rounds, _ = advance(Rounds(), rule(), [end(f"a{n}") for n in range(7)], now_us=0)
    found = []
    for _ in range(3):
        rounds, decisions = advance(rounds, rule(), [], now_us=HOUR, most=3)
        found.append(len(decisions))
    assert found == [3, 3, 1]


def test_the_run_of_a_decision_has_the_same_id_whatever_the_order() -> None:
    one = Decision(ends=(end("a1"), end("b1", at=5)), at_us=5)
    other = Decision(ends=(end("b1", at=5), end("a1")), at_us=5)
    assert decided_id("u", one) == decided_id("u", other) != decided_id("v", one)


PARENTS = ("a", "b", "c")
HISTORIES = st.fixed_dictionaries({parent: st.lists(st.booleans(), max_size=5) for parent in PARENTS})


@given(HISTORIES, st.sampled_from(Condition), st.randoms(use_true_random=False))
def test_rounds_do_not_depend_on_the_order_in_which_different_jobs_report(
    histories: dict[str, list[bool]], condition: Condition, chance: random.Random
) -> None:
    """Duplicates may come at any later time, several ends may come at once, and state is stored in between."""
    given_rule = rule(condition, frozenset(PARENTS))
    expected = [is_fired for is_fired, _ in outcomes(play(given_rule, *in_turn(histories))[1])]
    for _ in range(3):
        rounds, found, pending = Rounds(), [], interleaved(histories, chance)
        while pending:
            size = chance.randint(1, 3)
            rounds, decisions = advance(rounds, given_rule, pending[:size], now_us=0)
            pending = pending[size:]
            found += [decision.is_fired for decision in decisions]
        assert found == expected


def in_turn(histories: dict[str, list[bool]]) -> list[End]:
    return [end(f"{parent}{n}", ok=ok) for parent, oks in histories.items() for n, ok in enumerate(oks)]


def interleaved(histories: dict[str, list[bool]], chance: random.Random) -> list[End]:
    left = {parent: [end(f"{parent}{n}", ok=ok) for n, ok in enumerate(oks)] for parent, oks in histories.items()}
    order: list[End] = []
    while any(left.values()):
        parent = chance.choice([name for name, ends in left.items() if ends])
        order.append(left[parent].pop(0))
        if chance.random() < 0.3:
            order.append(chance.choice(order))
    return order


@given(HISTORIES, st.sampled_from(Condition))
def test_every_end_counts_at_most_once(histories: dict[str, list[bool]], condition: Condition) -> None:
    _, decisions = play(rule(condition, frozenset(PARENTS)), *in_turn(histories))
    used = [each.execution_id for decision in decisions for each in decision.ends]
    assert len(used) == len(set(used))
    for decision in decisions:
        assert len({each.parent for each in decision.ends}) == len(decision.ends)
