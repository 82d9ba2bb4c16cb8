"""When secrets are read, and what is said when they cannot be."""

import asyncio
from datetime import timedelta

import pytest

from libs.clock import SystemClock
from libs.secret_references import Reference
from services.dispatcher.domain.deferred import Unresolved
from services.dispatcher.domain.results import Failure, FailureKind
from services.dispatcher.domain.secret_rules import is_allowed, parse_rules
from services.dispatcher.secret_values import MOST_WAITING, Found, SecretValues
from tests.fakes.clock import FakeClock

LIFETIME = timedelta(seconds=30)
KEY = Reference("vault", "secret/billing/stripe:key")
OTHER = Reference("env", "CHRONOS_SECRET_A")


class Source:
    """A source that counts, and waits for `gate` where there is one."""

    def __init__(self, answer: str | Failure | Exception = "s3cret") -> None:
        self.answer = answer
        self.reads: list[str] = []
        self.gate: asyncio.Event | None = None

    async def read(self, name: str) -> str | Failure:
        self.reads.append(name)
        if self.gate is not None:
            await self.gate.wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def make(vault: Source, *rules: str, clock: FakeClock | None = None, timeout: float = 5) -> SecretValues:
    sources = {"vault": vault, "env": Source("plain")}
    return SecretValues(
        sources, parse_rules(rules), clock or FakeClock(), lifetime=LIFETIME, timeout=timedelta(seconds=timeout)
    )


async def found(values: SecretValues, *references: Reference) -> dict[Reference, str]:
    result = await values.find("billing", references)
    assert isinstance(result, Found), result
    return dict(result.values)


async def refused(values: SecretValues, *references: Reference) -> Unresolved:
    result = await values.find("billing", references)
    assert isinstance(result, Unresolved)
    return result


async def test_a_secret_is_read_once_in_its_lifetime() -> None:
    source, clock = Source(), FakeClock()
    values = make(source, clock=clock)
    assert await found(values, KEY, OTHER) == {KEY: "s3cret", OTHER: "plain"}
    await clock.advance(LIFETIME - timedelta(seconds=1))
    source.answer = "rotated"
    assert (await found(values, KEY))[KEY] == "s3cret"
    await clock.advance(timedelta(seconds=1))
    assert (await found(values, KEY))[KEY] == "rotated"
    assert source.reads == [KEY.name] * 2


async def test_many_who_need_a_secret_at_once_make_one_read_however_many() -> None:
    source = Source()
    source.gate = asyncio.Event()
    values = make(source)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(found(values, KEY)) for _ in range(5 * MOST_WAITING)]
        while not source.reads:
            await SystemClock().sleep(timedelta(0))
        source.gate.set()
    assert [task.result() for task in tasks] == [{KEY: "s3cret"}] * 5 * MOST_WAITING
    assert source.reads == [KEY.name]


async def test_a_source_that_was_away_holds_up_only_so_many_and_no_other_source() -> None:
    source, clock = Source(OSError("away")), FakeClock()
    values = make(source, clock=clock)
    await refused(values, KEY)
    await clock.advance(timedelta(seconds=1))
    source.answer, source.gate = "s3cret", asyncio.Event()
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(found(values, KEY)) for _ in range(MOST_WAITING)]
        while len(source.reads) < 2:
            await SystemClock().sleep(timedelta(0))
        await SystemClock().sleep(timedelta(0))
        failure = await refused(values, KEY)
        assert (failure.kind, "too many attempts wait for vault" in failure.error) == (FailureKind.UNREADY, True)
        assert await found(values, OTHER) == {OTHER: "plain"}
        source.gate.set()
    assert [task.result() for task in tasks] == [{KEY: "s3cret"}] * MOST_WAITING


async def test_who_reads_first_may_give_up_without_harm_to_the_others() -> None:
    source = Source()
    source.gate = asyncio.Event()
    values = make(source)
    async with asyncio.TaskGroup() as group:
        first = group.create_task(found(values, KEY))
        while not source.reads:
            await SystemClock().sleep(timedelta(0))
        second = group.create_task(found(values, KEY))
        await SystemClock().sleep(timedelta(0))
        first.cancel()
        while len(source.reads) < 2:
            await SystemClock().sleep(timedelta(0))
        source.gate.set()
    assert second.result() == {KEY: "s3cret"}


async def test_a_source_that_does_not_answer_in_time_is_away() -> None:
    source = Source()
    source.gate = asyncio.Event()
    failure = await refused(make(source, timeout=0.01), KEY)
    assert failure.kind is FailureKind.UNREADY
    assert failure.error == f"the secret {KEY} cannot be had: its source gave no answer within 10ms"


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (OSError("disk"), FailureKind.UNREADY),
        (ValueError("s3cret in a message"), FailureKind.UNREADY),
        (Failure(kind=FailureKind.INVALID, error="there is none"), FailureKind.INVALID),
        ("", FailureKind.INVALID),
    ],
)
async def test_what_goes_wrong_is_a_failure_that_shows_no_secret(answer: str | Failure, kind: FailureKind) -> None:
    failure = await refused(make(Source(answer)), KEY)
    assert failure.kind is kind
    assert str(KEY) in failure.error
    assert "s3cret" not in failure.error


async def test_a_failure_is_remembered_for_a_second_only() -> None:
    source, clock = Source(OSError("away")), FakeClock()
    values = make(source, clock=clock)
    await refused(values, KEY)
    await refused(values, KEY)
    assert len(source.reads) == 1
    source.answer = "s3cret"
    await clock.advance(timedelta(seconds=1))
    assert await found(values, KEY) == {KEY: "s3cret"}


async def test_what_an_operator_has_not_opened_is_refused_and_not_read() -> None:
    source = Source()
    failure = await refused(make(source, "billing=env:CHRONOS_SECRET_"), KEY)
    assert failure.kind is FailureKind.INVALID
    assert 'the namespace "billing" may not have it' in failure.error
    away = await refused(make(source), Reference("kubernetes", "a/b"))
    assert "read no secrets from kubernetes" in away.error
    assert source.reads == []


def test_rules_give_prefixes_to_namespaces_and_the_rest_to_the_others() -> None:
    rules = parse_rules(["billing=vault:secret/billing/", "billing=env:B_", "*=env:ALL_"])
    assert is_allowed(rules, "billing", KEY)
    assert is_allowed(rules, "billing", Reference("env", "B_X"))
    assert not is_allowed(rules, "billing", Reference("env", "ALL_X"))
    assert is_allowed(rules, "other", Reference("env", "ALL_X"))
    assert not is_allowed(rules, "other", KEY)
    assert is_allowed(parse_rules([]), "any", KEY)
    assert not is_allowed(parse_rules(["a=env:A"]), "b", Reference("env", "A"))


@pytest.mark.parametrize("text", ["", "billing", "billing=vault", "=env:A", "a b=env:A", "billing=aws:x"])
def test_a_rule_that_means_nothing_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no rule; write NAMESPACE=SOURCE:PREFIX"):
        parse_rules([text])
