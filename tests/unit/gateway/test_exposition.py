"""Many pages of metrics as one."""

import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from services.gateway.exposition import MalformedPage, merge, parse, up


def page(value: int) -> str:
    registry = CollectorRegistry()
    Counter("chronos_calls", "Calls.", ["service"], registry=registry).labels('a"b').inc(value)
    Histogram("chronos_seconds", "Time.", buckets=(1,), registry=registry).observe(value)
    return generate_latest(registry).decode()


def test_every_sample_says_which_replica_it_is_of() -> None:
    merged = merge([({"replica": f"x-{number}"}, parse(page(number))) for number in (1, 2)])
    assert merged.count("# TYPE chronos_calls_total counter") == 1
    assert 'chronos_calls_total{replica="x-1",service="a\\"b"} 1.0' in merged
    assert 'chronos_seconds_bucket{le="+Inf",replica="x-2"} 1.0' in merged


def test_a_label_of_the_same_name_is_kept_under_another() -> None:
    merged = merge([({"service": "history"}, parse(page(1)))])
    assert 'chronos_calls_total{exported_service="a\\"b",service="history"} 1.0' in merged


def test_what_is_merged_can_be_merged_again() -> None:
    merged = merge([({"replica": "x"}, [*parse(page(1)), up(True)])])
    assert merge([({}, parse(merged))]) == merged


def test_a_page_that_is_something_else_is_refused() -> None:
    with pytest.raises(MalformedPage):
        parse('chronos_calls{service="a} what')
