"""What a domain name under `consul.` asks for: a service's workers, an address, or the zone itself. Pure.

    [TAG.]NAME.service[.DC].consul         the workers of a service: SRV, A, AAAA, CNAME, ANY
    _NAME._TAG.service[.DC].consul         the same as RFC 2782 writes it; `_tcp` stands for no tag
    HEX.addr[.DC].consul                   the address that HEX spells, to which SRV records point

The names are those of Consul's own DNS (1.8.7, tests compare), except that `service.consul`, which has names below
it, exists (RFC 8020).
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

import dns.name
from dns.name import Name

ZONE = dns.name.from_text("consul.")

Address = IPv4Address | IPv6Address

_KINDS = ("service", "addr")


@dataclass(frozen=True, slots=True)
class ServiceName:
    """Asks for the workers of `service`, with `tag` unless that is empty; both in the client's spelling."""

    service: str
    tag: str = ""


class OtherName(enum.Enum):
    """A name that is neither a service nor an address."""

    APEX = enum.auto()
    """`consul.` itself."""
    EMPTY_NON_TERMINAL = enum.auto()
    """A name without records that has names below it, such as `service.consul.` (RFC 8499)."""
    NONEXISTENT = enum.auto()
    """A name under `consul.` that does not exist."""
    OUT_OF_ZONE = enum.auto()
    """Not under `consul.`: other servers answer for it."""


def parse_name(name: Name, *, datacenter: str) -> ServiceName | Address | OtherName:
    """What the name asks for. Case does not matter; `datacenter` is the only one that has workers."""
    if not name.is_subdomain(ZONE):
        return OtherName.OUT_OF_ZONE
    try:
        labels = [label.decode() for label in name.labels[: -len(ZONE.labels)]]
    except UnicodeDecodeError:
        return OtherName.NONEXISTENT
    lower, here = [label.lower() for label in labels], datacenter.lower()
    if not labels:
        return OtherName.APEX
    path, dc = (lower, here) if lower[-1] in _KINDS else (lower[:-1], lower[-1])
    if not path or path[-1] not in _KINDS:
        return OtherName.EMPTY_NON_TERMINAL if lower == [here] else OtherName.NONEXISTENT
    rest = labels[: len(path) - 1]
    if path[-1] == "addr":
        return _address(rest)
    return _service(rest) if dc == here else OtherName.NONEXISTENT


def _service(labels: Sequence[str]) -> ServiceName | OtherName:
    lower = [label.lower() for label in labels]
    if lower in ([], ["_tcp"]):
        return OtherName.EMPTY_NON_TERMINAL
    if len(labels) == 2 and labels[0].startswith("_") and labels[1].startswith("_"):
        return ServiceName(labels[0][1:], "" if lower[1] == "_tcp" else labels[1][1:])
    return ServiceName(labels[-1], ".".join(labels[:-1]))


def _address(labels: Sequence[str]) -> Address | OtherName:
    if not labels:
        return OtherName.EMPTY_NON_TERMINAL
    try:
        packed = bytes.fromhex(labels[-1])
        # fromhex ignores blanks, which no address contains.
        return ip_address(packed) if len(labels) == 1 and len(labels[0]) == 2 * len(packed) else OtherName.NONEXISTENT
    except ValueError:
        return OtherName.NONEXISTENT
