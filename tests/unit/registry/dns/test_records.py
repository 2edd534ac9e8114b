"""The DNS records of workers."""

from __future__ import annotations

import struct

import dns.name
import dns.rdatatype

from registry.dns.records import service_records
from registry.instances.instance import Instance


def worker(number: int, host: str, *, port: int, weight: int = 1) -> Instance:
    return Instance("classify", f"w{number}", host, port, weight=weight)


def test_repeated_records_do_not_count_against_the_most() -> None:
    """A set of as many different records as there may be is whole, whatever repeats them; the first counts."""
    twice = [worker(1, "10.0.0.1", port=1, weight=3), worker(2, "10.0.0.1", port=1, weight=5)]
    asked = dns.name.from_text("classify.service.consul.")
    for kind in (dns.rdatatype.SRV, dns.rdatatype.A):
        records = service_records(asked, kind, twice, datacenter="dc1", at_most=1)
        assert (len(records.answer), records.complete) == (1, True)
    (srv,) = service_records(asked, dns.rdatatype.SRV, twice, datacenter="dc1", at_most=1).answer
    assert srv[0].to_wire()[:6] == struct.pack("!3H", 1, 3, 1)
    assert not service_records(
        asked, dns.rdatatype.SRV, [worker(3, "10.0.0.4", port=9003), *twice], datacenter="dc1", at_most=1
    ).complete
