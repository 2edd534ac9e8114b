"""What a domain name under `consul.` asks of the registry, and the records that answer it: pure.

    [TAG.]NAME.service[.DC].consul         SRV, A, AAAA, CNAME, ANY of a service's workers
    _NAME._TAG.service[.DC].consul         the same as RFC 2782 writes it; `_tcp` stands for no tag
    HEX.addr[.DC].consul                   the address that HEX spells: what SRV records point to

Names, records and their fields are those of Consul's own DNS (1.8.7, tests compare), down to TTL 0 and the SOA.
What differs: records stand in the order of the rotation; a type that is not there is NOERROR with no answer,
where Consul answers TXT with addresses; and `service.consul`, which has names below it, exists (RFC 8020).
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

import dns.exception
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset
from dns.name import Name
from dns.rdatatype import AAAA, ANY, CNAME, SOA, SRV, A, RdataType
from dns.rrset import RRset

from registry.consul.instance import Instance
from registry.dns.message import Reply

ZONE = dns.name.from_text("consul.")
PRIORITY = 1
"""Of every SRV record, as Consul has it."""

Address = IPv4Address | IPv6Address

_KINDS = ("service", "addr")
_SOA_TIMES = struct.Struct("!5I")
_SOA_NAMES = (dns.name.from_text("ns.consul."), dns.name.from_text("hostmaster.consul."))
_REFRESH_S, _RETRY_S, _EXPIRE_S, _NEGATIVE_S = 3600, 600, 86400, 0
_TTL_S = 0


@dataclass(frozen=True, slots=True)
class Wish:
    """The workers of a service; those with `tag` only, where it is not empty. Written as the client wrote it."""

    service: str
    tag: str = ""


class Place(enum.Enum):
    """A name that is neither a service nor an address."""

    APEX = enum.auto()
    """`consul.` itself."""
    BRANCH = enum.auto()
    """A name with nothing but names below it, as `service.consul.`"""
    NOWHERE = enum.auto()
    """No such name."""
    ELSEWHERE = enum.auto()
    """Not under `consul.`: others answer for it."""


def understand(name: Name, *, datacenter: str) -> Wish | Address | Place:
    """What the name asks for. Letters' case means nothing; `datacenter` is the only one that has workers."""
    if not name.is_subdomain(ZONE):
        return Place.ELSEWHERE
    try:
        labels = [label.decode() for label in name.labels[: -len(ZONE.labels)]]
    except UnicodeDecodeError:
        return Place.NOWHERE
    lower, here = [label.lower() for label in labels], datacenter.lower()
    if not labels:
        return Place.APEX
    path, dc = (lower, here) if lower[-1] in _KINDS else (lower[:-1], lower[-1])
    if not path or path[-1] not in _KINDS:
        return Place.BRANCH if lower == [here] else Place.NOWHERE
    rest = labels[: len(path) - 1]
    if path[-1] == "addr":
        return _address(rest)
    return _wish(rest) if dc == here else Place.NOWHERE


def _wish(labels: Sequence[str]) -> Wish | Place:
    lower = [label.lower() for label in labels]
    if lower in ([], ["_tcp"]):
        return Place.BRANCH
    if len(labels) == 2 and labels[0].startswith("_") and labels[1].startswith("_"):
        return Wish(labels[0][1:], "" if lower[1] == "_tcp" else labels[1][1:])
    return Wish(labels[-1], ".".join(labels[:-1]))


def _address(labels: Sequence[str]) -> Address | Place:
    if not labels:
        return Place.BRANCH
    try:
        packed = bytes.fromhex(labels[-1])
        # fromhex passes over blanks, which belong to no address.
        return ip_address(packed) if len(labels) == 1 and len(labels[0]) == 2 * len(packed) else Place.NOWHERE
    except ValueError:
        return Place.NOWHERE


@dataclass(frozen=True, slots=True)
class Records:
    """What a name has of the type that is asked: nothing, perhaps. `whole` is False where there is more of it."""

    answer: Sequence[RRset] = ()
    additional: Sequence[RRset] = ()
    whole: bool = True


def of_workers(asked: Name, kind: RdataType, workers: Iterable[Instance], *, datacenter: str, at_most: int) -> Records:
    """The records of a service with these workers, in their order, each once, and no more than `at_most`.

    A worker whose host no DNS name or address can express is left out.
    """
    if kind == SRV:
        return _srv(asked, workers, datacenter, at_most)
    if kind in (A, AAAA, CNAME, ANY):
        return _addresses(asked, kind, workers, at_most)
    return Records()


def of_address(asked: Name, kind: RdataType, address: Address) -> Records:
    """The record of a name that spells an address, if it is of the type that is asked."""
    return Records([_address_record(asked, address)] if _is_of(address, kind) else [])


def of_zone(kind: RdataType, *, serial: int) -> Records:
    """The records of `consul.` itself: an SOA. There is no NS: this zone is asked for by forwarding to it."""
    return Records([soa(serial=serial)] if kind in (SOA, ANY) else [])


def found(records: Records, *, serial: int) -> Reply:
    """A name that exists: its records, or the SOA in their place where it has none of the type."""
    if not records.answer:
        return Reply(authority=[soa(serial=serial)])
    return Reply(answer=records.answer, additional=records.additional, partial=not records.whole)


def missing(*, serial: int) -> Reply:
    """NXDOMAIN with the SOA: there is no such name, or no worker that serves behind it."""
    return Reply(dns.rcode.NXDOMAIN, authority=[soa(serial=serial)])


def soa(*, serial: int) -> RRset:
    """The zone's SOA as Consul writes it; `serial` is the Unix time in seconds. Nothing may be cached."""
    times = _SOA_TIMES.pack(serial & 0xFFFFFFFF, _REFRESH_S, _RETRY_S, _EXPIRE_S, _NEGATIVE_S)
    return _record(ZONE, SOA, b"".join(map(_wire, _SOA_NAMES)) + times)


def _srv(asked: Name, workers: Iterable[Instance], datacenter: str, at_most: int) -> Records:
    answer: dict[tuple[Name, int], RRset] = {}
    additional: dict[Name, RRset] = {}
    below = (b"addr", datacenter.encode(), *ZONE.labels)
    for worker, target in _with_targets(workers):
        name = target if isinstance(target, Name) else _spelled(target, below)
        if (name, worker.port) in answer:
            continue
        if len(answer) == at_most:
            return Records(list(answer.values()), list(additional.values()), whole=False)
        numbers = struct.pack("!3H", PRIORITY, min(worker.weight, 0xFFFF), worker.port)
        answer[name, worker.port] = _record(asked, SRV, numbers + _wire(name))
        if not isinstance(target, Name):
            additional.setdefault(name, _address_record(name, target))
    return Records(list(answer.values()), list(additional.values()))


def _addresses(asked: Name, kind: RdataType, workers: Iterable[Instance], at_most: int) -> Records:
    addresses: dict[Address, RRset] = {}
    alias: Name | None = None
    for host in dict.fromkeys(worker.host for worker in workers):
        target = _target(host)
        if isinstance(target, Name):
            alias = alias or target
        elif target is not None and _is_of(target, kind) and target not in addresses:
            if len(addresses) == at_most:
                return Records(list(addresses.values()), whole=False)
            addresses[target] = _address_record(asked, target)
    if alias and not addresses:
        # An alias has no second record (RFC 1034, 3.6.2): of several workers with names it is the next one.
        return Records([_record(asked, CNAME, _wire(alias))])
    return Records(list(addresses.values()))


def _with_targets(workers: Iterable[Instance]) -> Iterator[tuple[Instance, Address | Name]]:
    for worker in workers:
        target = _target(worker.host)
        if target is not None:
            yield worker, target


def _target(host: str) -> Address | Name | None:
    """What a worker's host is to DNS: an address, or a name; None for what is neither."""
    try:
        address = ip_address(host)
    except ValueError:
        return _name(host)
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _name(host: str) -> Name | None:
    try:
        name = dns.name.from_text(host)
        _wire(name)
    except (dns.exception.DNSException, ValueError):
        return None
    return None if name == dns.name.root else name


def _wire(name: Name) -> bytes:
    """The name's own bytes, without compression, which RFC 2782 forbids in SRV. Raises where it is too long."""
    data = name.to_wire()
    assert data is not None  # None is for those who gave a file to write to
    return data


def _spelled(address: Address, below: tuple[bytes, ...]) -> Name:
    """The name that spells the address, as `7f000001.addr.dc1.consul.`"""
    return Name((address.packed.hex().encode(), *below))


def _is_of(address: Address, kind: RdataType) -> bool:
    return kind in (_type(address), ANY)


def _type(address: Address) -> RdataType:
    return A if address.version == 4 else AAAA


def _address_record(owner: Name, address: Address) -> RRset:
    return _record(owner, _type(address), address.packed)


def _record(owner: Name, kind: RdataType, data: bytes) -> RRset:
    """One record. Of ready-made bytes: dnspython's classes for each type take ten times as long to build.

    And a set of its own, for the records of a larger set would be shuffled, and left off all or none.
    """
    rdata = dns.rdata.GenericRdata(dns.rdataclass.IN, kind, data)
    return dns.rrset.from_rdata(owner, _TTL_S, rdata)
