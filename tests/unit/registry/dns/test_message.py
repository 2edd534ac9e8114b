"""DNS messages that are no queries: how they are answered, or not."""

from __future__ import annotations

import dns.message
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import dns.tsig
import pytest

from registry.dns.message import read


@pytest.mark.parametrize("opcode", [1, 2, 3, 4, 5, 6, 15])
def test_other_opcodes_are_not_implemented(opcode: int) -> None:
    """Anything but a plain query: NOTIMP with its own id and opcode, even where the rest makes no sense."""
    answer = read(b"\x12\x34" + (opcode << 11).to_bytes(2, "big") + b"\xff" * 40)
    assert isinstance(answer, bytes)
    message = dns.message.from_wire(answer)
    assert (message.id, message.opcode(), message.rcode()) == (0x1234, opcode, dns.rcode.NOTIMP)


def two_questions() -> bytes:
    query = dns.message.make_query("classify.service.consul", "A")
    query.question.append(dns.rrset.RRset(query.question[0].name, dns.rdataclass.IN, dns.rdatatype.SRV))
    return query.to_wire()


def signed() -> bytes:
    query = dns.message.make_query("classify.service.consul", "A")
    query.use_tsig(dns.tsig.Key("key.", b"secret" * 6))
    return query.to_wire()


PLAIN = dns.message.make_query("classify.service.consul", "A", id=7).to_wire()


@pytest.mark.parametrize(
    "wire",
    [
        PLAIN[:-1],
        PLAIN[:12],
        PLAIN + b"\0",
        PLAIN[:12] + b"\xc0\x0c" + PLAIN[-4:],
        PLAIN[:4] + b"\0\0" + PLAIN[6:12],
        PLAIN[:6] + b"\xff\xff" + PLAIN[8:],
        two_questions(),
        signed(),
    ],
    ids=[
        "cut",
        "header only",
        "trailing",
        "endless name",
        "no question",
        "missing records",
        "two questions",
        "signed",
    ],
)
def test_what_cannot_be_read_is_formerr(wire: bytes) -> None:
    """A query that is broken, signed, or has no question or two: FORMERR, its id, and a bare header."""
    answer = read(wire)
    assert isinstance(answer, bytes)
    assert len(answer) == 12
    message = dns.message.from_wire(answer)
    assert message.rcode() == dns.rcode.FORMERR
    assert answer[:2] == wire[:2]


@pytest.mark.parametrize("wire", [b"", PLAIN[:11], PLAIN[:2] + b"\x80" + PLAIN[3:], b"\0\0\xff\xff" + bytes(8)])
def test_some_messages_are_never_answered(wire: bytes) -> None:
    """Responses, and what is shorter than a header: not a byte goes back."""
    assert read(wire) is None
