"""The addresses of this host's interfaces, and the one that it uses towards another host.

getifaddrs(3) is called through ctypes, because Python's standard library names interfaces without their addresses.
"""

from __future__ import annotations

import ctypes
import socket
import sys
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_interface

from worker.advertising.choice import InterfaceAddress

_IFF_UP = 0x1
_BYTES = {socket.AF_INET: (4, 4), socket.AF_INET6: (8, 16)}
"""Where the address begins in the C structure of each family (sockaddr_in, sockaddr_in6), and how long it is."""

_NOWHERE = {socket.AF_INET: "192.0.2.1", socket.AF_INET6: "2001:db8::1"}
"""Addresses that belong to nobody (RFC 5737, RFC 3849), so that the way to them is the default route."""

_DISCARD_PORT = 9


class _IfAddrs(ctypes.Structure):
    """The beginning of `struct ifaddrs`, which is the same on Linux, macOS and the BSDs."""


_IfAddrs._fields_ = [
    ("next", ctypes.POINTER(_IfAddrs)),
    ("name", ctypes.c_char_p),
    ("flags", ctypes.c_uint),
    ("address", ctypes.c_void_p),
    ("netmask", ctypes.c_void_p),
]


def host_addresses() -> tuple[InterfaceAddress, ...]:
    """The IP addresses of all interfaces that are up, in the system's order. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    first = ctypes.POINTER(_IfAddrs)()
    if libc.getifaddrs(ctypes.byref(first)) != 0:
        raise OSError(ctypes.get_errno(), "the addresses of this host cannot be listed")
    try:
        return tuple(_read(first))
    finally:
        libc.freeifaddrs(first)


def _read(entry: ctypes._Pointer[_IfAddrs]) -> Iterator[InterfaceAddress]:
    while entry:
        item = entry.contents
        address = _address(item.address) if item.flags & _IFF_UP else None
        netmask = _address(item.netmask)
        if address is not None:
            bits = address.max_prefixlen if netmask is None else int(netmask).bit_count()
            yield InterfaceAddress(item.name.decode(errors="replace"), ip_interface((address, bits)))
        entry = item.next


def _address(pointer: int | None) -> IPv4Address | IPv6Address | None:
    """The IP address in a C structure; None where there is none, or one of another family."""
    if not pointer:
        return None
    start = ctypes.string_at(pointer, 2)
    # The BSDs and macOS put the structure's length before the family, in one byte each.
    family = int.from_bytes(start, sys.byteorder) if sys.platform.startswith("linux") else start[1]
    for known, (offset, length) in _BYTES.items():
        if family == known:
            return ip_address(ctypes.string_at(pointer + offset, length))
    return None


def address_towards(host: str, port: int = _DISCARD_PORT) -> str | None:
    """The address of this host from which it sends to `host`; None where there is no way. Nothing is sent.

    Resolves a host's name, so that it may block. Raises OSError where the name cannot be found.
    """
    for family, _, _, _, target in socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM):
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect(target)
            except OSError:
                continue
            return str(probe.getsockname()[0]).partition("%")[0]
    return None


def outward_addresses() -> tuple[str, ...]:
    """This host's addresses on its default routes: of IPv4, then of IPv6, as far as there are such routes."""
    found = (address_towards(nowhere) for nowhere in _NOWHERE.values())
    return tuple(address for address in found if address is not None)
