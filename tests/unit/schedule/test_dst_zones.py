"""Where the clocks change, against the time zone files themselves."""

import struct
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given

from services.scheduler.domain.schedule import zones
from services.scheduler.domain.schedule.spec import DstPolicy
from tests.strategies import DST_POLICIES, MOMENTS, ODD_ZONES, ZONES

EPOCH = datetime(1970, 1, 1)
FIRST, LAST = datetime(1850, 1, 1), datetime(2037, 1, 1)
FILES = files("tzdata.zoneinfo")


def written_changes(key: str) -> list[tuple[datetime, timedelta]]:
    """The changes of offset that a zone's file lists (RFC 8536, its 64-bit part)."""
    content = FILES.joinpath(key).read_bytes()
    counts = struct.unpack(">6l", content[20:44])
    ut, std, leap, times, types, characters = counts
    second = 44 + times * 5 + types * 6 + characters + leap * 8 + std + ut
    _, _, _, times, types, _ = struct.unpack(">6l", content[second + 20 : second + 44])
    at = second + 44
    moments = struct.unpack(f">{times}q", content[at : at + 8 * times])
    indices = content[at + 8 * times : at + 9 * times]
    offsets = [struct.unpack(">lbb", content[at + 9 * times + 6 * n :][:6])[0] for n in range(types)]
    found, current = [], offsets[0]
    for moment, index in zip(moments, indices, strict=True):
        when = EPOCH + timedelta(seconds=max(moment, -(10**10)))
        if offsets[index] != current and FIRST < when < LAST:
            found.append((when, timedelta(seconds=offsets[index])))
        current = offsets[index]
    return found


def found_changes(zone: ZoneInfo) -> list[tuple[datetime, timedelta]]:
    found, at = [], FIRST
    while (stretch := zones.next_transition(zone, at, years=200)) is not None and stretch.start < LAST:
        found.append((stretch.start, stretch.offset))
        at = stretch.start
    return found


@pytest.mark.parametrize("key", ["Europe/Berlin", "Africa/El_Aaiun", "Asia/Gaza", "Pacific/Apia", "America/Juneau"])
def test_every_change_in_a_zones_file_is_found(key: str) -> None:
    with FILES.joinpath(key).open("rb") as file:
        zone = ZoneInfo.from_file(file, key=key)
    written = written_changes(key)
    assert [change for change in found_changes(zone) if change <= written[-1]] == written


@pytest.mark.parametrize("key", ODD_ZONES)
def test_stretches_join_without_a_break(key: str) -> None:
    zone, at = ZoneInfo(key), datetime(2005, 1, 1)
    stretch = zones.stretch_at(zone, at)
    while stretch.end < datetime(2040, 1, 1):
        following = zones.stretch_at(zone, stretch.end)
        assert following.start == stretch.end
        assert following.offset_before == stretch.offset
        assert following.offset == stretch.offset_after
        assert zones.stretch_at(zone, stretch.end - timedelta(microseconds=1)) == stretch
        stretch = following


@given(zone=ZONES, moment=MOMENTS, dst=DST_POLICIES)
def test_a_wall_time_that_exists_resolves_to_instants_that_show_it(zone: str, moment: datetime, dst: DstPolicy) -> None:
    tz = ZoneInfo(zone)
    wall = moment.astimezone(tz).replace(tzinfo=None)
    found = zones.resolve(tz, wall, dst)
    assert 1 <= len(found) <= 2
    assert list(found) == sorted(set(found))
    for instant in found:
        assert instant.replace(tzinfo=UTC).astimezone(tz).replace(tzinfo=None) == wall.replace(fold=0)
