"""Hosts and ports as people write them."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.host_ports import join_host_port, split_host_port

NAMES = st.from_regex(r"[a-z]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)
HOSTS = st.one_of(st.ip_addresses(v=4).map(str), st.ip_addresses(v=6).map(str), NAMES)
WRONG = (
    "",
    "a",
    ":1",
    "a:",
    "a:0",
    "a:65536",
    "a:1x",
    "a:٣",
    "a:9999999",
    "::1:5",
    "[::1]",
    "[x]:1",
    "a/b:1",
    "a.. :1",
)


@given(HOSTS, st.integers(1, 65_535))
def test_what_is_joined_is_split_again(host: str, port: int) -> None:
    assert split_host_port(join_host_port(host, port)) == (host, port)


@given(st.text())
def test_whatever_is_written_is_understood_or_refused(text: str) -> None:
    with contextlib.suppress(ValueError):
        host, port = split_host_port(text)
        assert host
        assert 1 <= port <= 65_535


@pytest.mark.parametrize("text", WRONG)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^(must|has) "):
        split_host_port(text)
