from ipaddress import ip_address

import pytest

from services.dispatcher.domain.addresses import AddressPolicy, as_address, is_public, parse_networks


@pytest.mark.parametrize(
    "text",
    [
        "127.0.0.1", "127.255.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0",
        "224.0.0.1", "255.255.255.255", "240.0.0.1", "198.18.0.1", "192.0.0.1", "::1", "::", "fe80::1", "fc00::1",
        "fd00:ec2::254", "ff02::1", "fec0::1", "2001:db8::1", "::7f00:1", "64:ff9b:1::a00:1", "100::1",
    ],
)  # fmt: skip
def test_addresses_of_no_business_of_a_job_are_refused(text: str) -> None:
    assert not is_public(ip_address(text))
    assert not AddressPolicy().is_allowed(ip_address(text))


@pytest.mark.parametrize("text", ["8.8.8.8", "93.184.216.34", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_public_addresses_are_allowed(text: str) -> None:
    assert AddressPolicy().is_allowed(ip_address(text))


@pytest.mark.parametrize(
    "text", ["::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "2001::80ff:fffe"]
)
def test_a_private_address_inside_another_one_is_refused(text: str) -> None:
    assert not AddressPolicy().is_allowed(ip_address(text))


def test_allowed_networks_are_exceptions() -> None:
    policy = AddressPolicy(allowed_networks=parse_networks(["10.1.0.0/16", "fd00::/8"]))
    assert policy.is_allowed(ip_address("10.1.2.3"))
    assert policy.is_allowed(ip_address("::ffff:10.1.2.3"))
    assert policy.is_allowed(ip_address("fd00::7"))
    assert not policy.is_allowed(ip_address("10.2.0.1"))


def test_everything_is_allowed_where_private_addresses_are() -> None:
    assert AddressPolicy(allow_private_addresses=True).is_allowed(ip_address("127.0.0.1"))


def test_a_name_with_any_private_address_is_refused() -> None:
    public, private = ip_address("8.8.8.8"), ip_address("10.0.0.1")
    assert AddressPolicy().choose([public]) == public
    assert AddressPolicy().choose([public, private]) is None
    assert AddressPolicy().choose([]) is None


def test_ipv4_is_preferred() -> None:
    assert str(AddressPolicy().choose([ip_address("2606:4700::1111"), ip_address("1.1.1.1")])) == "1.1.1.1"


@pytest.mark.parametrize(
    ("host", "expected"), [("[::1]", "::1"), ("1.2.3.4", "1.2.3.4"), ("[fe80::1%25eth0]", "fe80::1")]
)
def test_a_host_may_be_an_address(host: str, expected: str) -> None:
    assert str(as_address(host)) == expected


def test_a_name_is_no_address() -> None:
    assert as_address("example.com") is None


def test_a_wrong_network_is_named() -> None:
    with pytest.raises(ValueError, match="'lan' does not appear to be"):
        parse_networks(["lan"])
