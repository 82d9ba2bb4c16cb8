"""Ids and shards."""

import uuid
from collections import Counter
from datetime import UTC, datetime

from services.scheduler.domain.identity import (
    execution_id,
    manual_execution_id,
    microseconds,
    moment_of,
    shard_of,
)


def test_the_same_occurrence_has_the_same_id_everywhere() -> None:
    assert execution_id("uid", 1_700_000_000_000_000) == "018bcfe5-6800-845c-acb2-5c033444737c"
    assert execution_id("uid", 1) != execution_id("uid", 2)
    assert execution_id("uid", 1) != execution_id("other", 1)


def test_an_execution_id_is_a_version_8_uuid() -> None:
    identity = uuid.UUID(execution_id("uid", 1_700_000_000_000_000))
    assert identity.version == 8
    assert identity.variant == uuid.RFC_4122


def test_execution_ids_sort_by_time() -> None:
    ids = [execution_id(f"job-{n % 7}", n * 1_000_000) for n in range(1000)]
    assert ids == sorted(ids)
    assert manual_execution_id(1_000_000) < manual_execution_id(2_000_000)


def test_two_runs_asked_for_at_the_same_moment_differ() -> None:
    assert manual_execution_id(5) != manual_execution_id(5)


def test_jobs_spread_over_all_shards() -> None:
    counts = Counter(shard_of("default", f"job-{n}", 64) for n in range(64_000))
    assert len(counts) == 64
    assert min(counts.values()) > 800
    assert max(counts.values()) < 1200


def test_a_shard_never_moves() -> None:
    assert shard_of("default", "nightly-report", 64) == 30


def test_microseconds_are_exact_both_ways() -> None:
    moment = datetime(2026, 11, 21, 12, 34, 56, 789012, tzinfo=UTC)
    assert moment_of(microseconds(moment)) == moment
