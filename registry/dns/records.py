"""The DNS records of a service's workers, of an address and of the zone, and the replies that carry them. Pure.

Records and their fields are those of Consul's own DNS (1.8.7, tests compare), down to TTL 0 and the SOA. Two things
differ: records stand in the order of the rotation, and where a name has no record of the type the reply is NOERROR
without an answer, where Consul answers TXT with addresses.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

import dns.exception
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rrset
from dns.name import Name
from dns.rdatatype import AAAA, ANY, CNAME, SOA, SRV, A, RdataType
from dns.rrset import RRset

from registry.dns.message import Reply
from registry.dns.zone import ZONE, Address
from registry.instances.instance import Instance

PRIORITY = 1
"""The priority of every SRV record, as in Consul."""

_SOA_TIMES = struct.Struct("!5I")
_SOA_NAMES = (dns.name.from_text("ns.consul."), dns.name.from_text("hostmaster.consul."))
_REFRESH_S, _RETRY_S, _EXPIRE_S, _NEGATIVE_S = 3600, 600, 86400, 0
_TTL_S = 0


@dataclass(frozen=True, slots=True)
class Records:
    """The records that a name has of the type asked for, possibly none. `complete` is False where there are more."""

    answer: Sequence[RRset] = ()
    additional: Sequence[RRset] = ()
    complete: bool = True


def service_records(
    asked: Name, kind: RdataType, workers: Iterable[Instance], *, datacenter: str, at_most: int
) -> Records:
    """The records of a service with these workers, in their order, each once, and no more than `at_most`.

    A worker whose host is neither an address nor a valid DNS name is left out.
    """
    if kind == SRV:
        return _srv(asked, workers, datacenter, at_most)
    if kind in (A, AAAA, CNAME, ANY):
        return _addresses(asked, kind, workers, at_most)
    return Records()


def address_records(asked: Name, kind: RdataType, address: Address) -> Records:
    """The record of a name that spells an address, if it is of the type asked for."""
    return Records([_address_record(asked, address)] if _is_of(address, kind) else [])


def apex_records(kind: RdataType, *, serial: int) -> Records:
    """The records of `consul.` itself: an SOA. There is no NS, since resolvers are told to forward this zone."""
    return Records([soa(serial=serial)] if kind in (SOA, ANY) else [])


def existing(records: Records, *, serial: int) -> Reply:
    """The reply for a name that exists: its records, or the SOA where it has none of the type."""
    if not records.answer:
        return Reply(authority=[soa(serial=serial)])
    return Reply(answer=records.answer, additional=records.additional, partial=not records.complete)


def nonexistent(*, serial: int) -> Reply:
    """NXDOMAIN with the SOA: there is no such name, or no serving worker of that service."""
    return Reply(dns.rcode.NXDOMAIN, authority=[soa(serial=serial)])


def soa(*, serial: int) -> RRset:
    """The zone's SOA as Consul writes it; `serial` is the Unix time in seconds. It forbids caching."""
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
            return Records(list(answer.values()), list(additional.values()), complete=False)
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
                return Records(list(addresses.values()), complete=False)
            addresses[target] = _address_record(asked, target)
    if alias and not addresses:
        # A name with a CNAME has no other record (RFC 1034, 3.6.2): of several workers with names it is the next one.
        return Records([_record(asked, CNAME, _wire(alias))])
    return Records(list(addresses.values()))


def _with_targets(workers: Iterable[Instance]) -> Iterator[tuple[Instance, Address | Name]]:
    for worker in workers:
        target = _target(worker.host)
        if target is not None:
            yield worker, target


def _target(host: str) -> Address | Name | None:
    """A worker's host as an address or a DNS name; None where it is neither."""
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
    """The name in wire format without compression, which RFC 2782 forbids in SRV. Raises where it is too long."""
    data = name.to_wire()
    assert data is not None  # to_wire returns None only when it is given a file
    return data


def _spelled(address: Address, below: tuple[bytes, ...]) -> Name:
    """The name that spells the address, such as `7f000001.addr.dc1.consul.`"""
    return Name((address.packed.hex().encode(), *below))


def _is_of(address: Address, kind: RdataType) -> bool:
    return kind in (_type(address), ANY)


def _type(address: Address) -> RdataType:
    return A if address.version == 4 else AAAA


def _address_record(owner: Name, address: Address) -> RRset:
    return _record(owner, _type(address), address.packed)


def _record(owner: Name, kind: RdataType, data: bytes) -> RRset:
    """One record, in a set of its own.

    It is made of bytes, since dnspython's classes for each type take ten times as long to build. dnspython would
    shuffle the records of a larger set, and leave all of them off or none.
    """
    rdata = dns.rdata.GenericRdata(dns.rdataclass.IN, kind, data)
    return dns.rrset.from_rdata(owner, _TTL_S, rdata)
