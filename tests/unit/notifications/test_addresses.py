"""Where a webhook may go: nowhere that only this service can reach."""

import ipaddress
from typing import Any

import pytest

from dicom_service.notifications.addresses import hosts, is_private, is_public, parse_target, resolve
from dicom_service.notifications.errors import DeliveryFailed, UnsafeAddress, UnsafeUrl


@pytest.mark.parametrize(
    ("url", "loopback", "code"),
    [
        ("http://receiver.example/", False, "NOT_HTTPS"),
        ("ftp://receiver.example/", True, "NOT_HTTPS"),
        ("https://user:pw@receiver.example/", False, "CREDENTIALS_IN_URL"),
        ("https://user@receiver.example/", False, "CREDENTIALS_IN_URL"),
        ("https:///hook", False, "NOT_A_URL"),
        ("https://receiver.example:99999/", False, "NOT_A_URL"),
        ("https://receiver.example\\@10.0.0.1/", False, "NOT_A_URL"),
        ("https://[::1/", False, "NOT_A_URL"),
        ("https://receiver.example/é", False, "NOT_A_URL"),
        ("nonsense", False, "NOT_A_URL"),
    ],
)
def test_urls_that_must_not_be_called(url: str, loopback: bool, code: str) -> None:
    with pytest.raises(UnsafeUrl) as caught:
        parse_target(url, loopback=loopback)
    assert caught.value.code == code


PRIVATE = [
    "127.0.0.1",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "0.0.0.0",
    "224.0.0.1",
    "255.255.255.255",
    "240.0.0.1",
    "::",
    "::1",
    "fe80::1",
    "fc00::1",
    "fd00:ec2::254",
    "ff02::1",
    "::ffff:169.254.169.254",
    "::ffff:10.0.0.1",
    "64:ff9b::169.254.169.254",
    "64:ff9b::10.0.0.1",
    "64:ff9b:1::1",
    "2002:a9fe:a9fe::",
    "2002:0a00:0001::1",
    "2001:0:1::1",
    "::169.254.169.254",
    "fec0::1",
    "3fff::1",
    "5f00::1",
    "100::1",
    "2001:db8::1",
    "192.0.0.9",
    "192.88.99.1",
    "198.18.0.1",
]


@pytest.mark.parametrize("address", PRIVATE)
def test_addresses_that_are_not_public(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))
    target = parse_target("https://receiver.example/")
    with pytest.raises(UnsafeAddress):
        resolve(target, lambda *_, **__: [(0, 0, 0, "", ("93.184.216.34", 443)), (0, 0, 0, "", (address, 443))])


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1::1", "64:ff9b::93.184.216.34", "::ffff:1.1.1.1"])
def test_addresses_that_are_public(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


def test_the_guard_is_needed() -> None:
    """Negative control: what `ipaddress` itself would let through."""
    passed = [text for text in PRIVATE if ipaddress.ip_address(text).is_global]
    # 2002::/16 passes with some versions of Python only.
    assert {"64:ff9b::169.254.169.254", "224.0.0.1"} <= set(passed)


def test_plain_http_goes_to_loopback_alone_even_in_local_mode() -> None:
    target = parse_target("http://receiver.example/", loopback=True)
    with pytest.raises(UnsafeAddress):
        resolve(target, lambda *_, **__: [(0, 0, 0, "", ("93.184.216.34", 80))])
    assert resolve(target, lambda *_, **__: [(0, 0, 0, "", ("127.0.0.1", 80))]) == "127.0.0.1"


def test_a_name_that_does_not_resolve() -> None:
    def fail(*_: object, **__: object) -> Any:
        raise OSError("no such name")

    with pytest.raises(DeliveryFailed):
        resolve(parse_target("https://receiver.example/"), fail)


LISTED = hosts("receiver.internal, 10.1.2.3 fd12::1")


def at(*addresses: str) -> Any:
    return lambda *_, **__: [(0, 0, 0, "", (address, 443)) for address in addresses]


@pytest.mark.parametrize("address", ["10.1.2.3", "172.31.0.1", "192.168.1.1", "100.64.0.1", "fd12::1"])
@pytest.mark.parametrize("scheme", ["https", "http"])
def test_a_listed_host_may_have_a_private_address(scheme: str, address: str) -> None:
    target = parse_target(f"{scheme}://Receiver.Internal/hook", private_hosts=LISTED)
    assert resolve(target, at(address)) == address
    # control: the same without the list
    with pytest.raises((UnsafeUrl, UnsafeAddress)):
        resolve(parse_target(f"{scheme}://receiver.internal/hook"), at(address))


HOUSE = {"10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1", "fc00::1"}


@pytest.mark.parametrize("address", sorted({*PRIVATE} - HOUSE))
def test_a_listed_host_reaches_nothing_that_is_not_of_the_house(address: str) -> None:
    target = parse_target("https://receiver.internal/", private_hosts=LISTED)
    for addresses in ([address], ["10.1.2.3", address]):
        with pytest.raises(UnsafeAddress):
            resolve(target, at(*addresses))


def test_what_is_of_the_house() -> None:
    assert {text for text in PRIVATE if is_private(ipaddress.ip_address(text))} == HOUSE


@pytest.mark.parametrize(
    "host",
    ["other.internal", "x.receiver.internal", "receiver.internal.evil.example", "receiver.internal.", "10.1.2.4"],
)
def test_a_host_that_is_not_listed_has_no_private_address(host: str) -> None:
    with pytest.raises(UnsafeUrl):
        parse_target(f"http://{host}/", private_hosts=LISTED)
    with pytest.raises(UnsafeAddress):
        resolve(parse_target(f"https://{host}/", private_hosts=LISTED), at("10.1.2.3"))


def test_plain_http_of_a_listed_host_stays_in_the_house() -> None:
    plain = parse_target("http://receiver.internal/", private_hosts=LISTED)
    with pytest.raises(UnsafeAddress, match="NOT_HTTPS"):
        resolve(plain, at("93.184.216.34"))
    assert resolve(parse_target("https://receiver.internal/", private_hosts=LISTED), at("93.184.216.34"))


@pytest.mark.parametrize(
    "text", ["*.internal", "10.0.0.0/8", "receiver.internal:8080", "[fd12::1]", "u@receiver.internal"]
)
def test_a_list_of_hosts_takes_whole_names_alone(text: str) -> None:
    with pytest.raises(ValueError, match="not a host"):
        hosts(text)
