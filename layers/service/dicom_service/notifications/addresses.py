"""Checks where a webhook may go: to no address that is not public, unless its host is listed.

See security.md, "Webhooks and callbacks".
"""

import ipaddress
import socket
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from dicom_service.notifications.errors import DeliveryFailed, UnsafeAddress, UnsafeUrl
from dicom_service.settings import words

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
LookUp = Callable[..., list[tuple[Any, ...]]]

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_V4_COMPATIBLE = ipaddress.IPv6Network("::/96")
# The only space from which public IPv6 addresses are assigned (RFC 4291 §2.4): the old site-local fec0::/10, for
# instance, is not in it.
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
# IANA's special-purpose registries (RFC 6890) as of 2026, multicast and reserved space. Written out, since `is_global`
# changes between versions of Python.
_NOT_PUBLIC_V4 = tuple(
    ipaddress.IPv4Network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
# Private networks (RFC 1918, RFC 6598, RFC 4193): allowed for listed hosts besides public addresses. Loopback,
# link-local addresses and the cloud's own services, some of which are in fd00::/8, are never allowed.
_PRIVATE = tuple(
    ipaddress.ip_network(network)
    for network in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")
)
_CLOUDS_OWN = ipaddress.ip_network("fd00:ec2::/32")
_NOT_PUBLIC_V6 = tuple(ipaddress.IPv6Network(network) for network in ("2001::/23", "2001:db8::/32", "3fff::/20"))


@dataclass(frozen=True)
class Target:
    """A webhook's URL in parts.

    Parameters
    ----------
    scheme
        ``https``, or ``http`` for loopback in local mode and for private addresses of a listed host.
    host
        Name or address literal, without brackets.
    port
        TCP port.
    path
        Path and query, as the request line takes them.
    loopback
        Whether loopback addresses are allowed (local mode).
    private
        Whether private addresses are allowed (the host is listed).
    """

    scheme: str
    host: str
    port: int
    path: str
    loopback: bool
    private: bool = False

    @property
    def authority(self) -> str:
        """The ``Host`` header (RFC 9110 §7.2)."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = {"https": 443, "http": 80}[self.scheme]
        return host if self.port == usual else f"{host}:{self.port}"


def hosts(text: str) -> frozenset[str]:
    """Cast a list of hosts: whole names or addresses, without patterns, ports or brackets."""
    found = [word.lower() for word in words(text)]
    for host in found:
        if any(character in host for character in "*?/@[]") or (":" in host and not _is_address(host)):
            raise ValueError("not a host")
    return frozenset(found)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def parse_target(url: str, *, loopback: bool = False, private_hosts: Collection[str] = ()) -> Target:
    """Parse a webhook's URL and check it.

    Parameters
    ----------
    url
        As in ``CALLBACK_URLS``.
    loopback
        Local mode: loopback addresses are allowed, over plain HTTP too.
    private_hosts
        Hosts that may have private addresses, over plain HTTP too.

    Raises
    ------
    UnsafeUrl
        The URL must not be called.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise UnsafeUrl("NOT_A_URL") from error
    if not parts.hostname or not url.isprintable() or " " in url or "\\" in url:
        raise UnsafeUrl("NOT_A_URL")
    if parts.username is not None or parts.password is not None:
        raise UnsafeUrl("CREDENTIALS_IN_URL")
    private = parts.hostname in private_hosts
    if parts.scheme != "https" and not (parts.scheme == "http" and (loopback or private)):
        raise UnsafeUrl("NOT_HTTPS")
    try:
        host = parts.hostname.encode("idna").decode() if ":" not in parts.hostname else parts.hostname
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        path.encode("ascii")
    except UnicodeError as error:
        raise UnsafeUrl("NOT_A_URL") from error
    return Target(parts.scheme, host, port or (443 if parts.scheme == "https" else 80), path, loopback, private)


def resolve(target: Target, look_up: LookUp = socket.getaddrinfo) -> str:
    """Look the host up, once, and return the address to connect to.

    Raises
    ------
    DeliveryFailed
        The name does not resolve.
    UnsafeAddress
        One of its addresses is not allowed, even if others are.
    """
    try:
        found = look_up(target.host, target.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise DeliveryFailed("NOT_RESOLVED") from error
    addresses = [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]
    if not addresses:
        raise DeliveryFailed("NOT_RESOLVED")
    for address in addresses:
        inside = (target.loopback and address.is_loopback) or (target.private and is_private(address))
        if not (inside or is_public(address)):
            raise UnsafeAddress("ADDRESS_NOT_PUBLIC")
        if target.scheme == "http" and not inside:
            raise UnsafeAddress("NOT_HTTPS")
    return str(addresses[0])


def is_public(address: Address) -> bool:
    """Check whether an address is public, the same in every version of Python.

    An IPv4 address inside an IPv6 one is checked as itself: ``64:ff9b::169.254.169.254`` and ``2002:a9fe:a9fe::`` lead
    to it.
    """
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_V4)
    if address in _NAT64 or address in _V4_COMPATIBLE:
        return is_public(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    inner = address.ipv4_mapped or address.sixtofour
    if inner is not None:
        return is_public(inner)
    return address in _GLOBAL_UNICAST and not any(address in network for network in _NOT_PUBLIC_V6)


def is_private(address: Address) -> bool:
    """Check whether an address is of a private network, and not one of the cloud's own services."""
    return address not in _CLOUDS_OWN and any(address in network for network in _PRIVATE)
