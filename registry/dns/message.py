"""DNS messages: the bytes of a query become a `Query`, a `Reply` becomes bytes of the size that is allowed. Pure.

dnspython reads and writes the format (RFC 1035, EDNS of RFC 6891); here is decided which messages are
queries at all, how large an answer may be, and that one that does not fit says so.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

UDP_PLAIN_BYTES = 512
"""What every client takes over UDP (RFC 1035, 2.3.4)."""

UDP_MOST_BYTES = 1232
"""The most that is sent over UDP, whatever larger size a client offers: it passes every network in one piece
(DNS flag day 2020), and bounds what a query with a forged sender can make of itself."""

TCP_MOST_BYTES = 65535

_HEADER = struct.Struct("!6H")


@dataclass(frozen=True, slots=True)
class Query:
    """A question that can be answered: a name, a type, a class."""

    message: dns.message.Message
    name: dns.name.Name
    kind: dns.rdatatype.RdataType
    rdclass: dns.rdataclass.RdataClass

    @property
    def udp_bytes(self) -> int:
        """How large an answer over UDP may be: 512 bytes, or what the client's EDNS offers within our bound."""
        if self.message.edns < 0:
            return UDP_PLAIN_BYTES
        return min(UDP_MOST_BYTES, max(UDP_PLAIN_BYTES, self.message.payload))


@dataclass(frozen=True, slots=True)
class Reply:
    """What is answered. `partial` says that there is more than `answer`; it turns into the TC bit."""

    rcode: dns.rcode.Rcode = dns.rcode.NOERROR
    answer: Sequence[dns.rrset.RRset] = ()
    authority: Sequence[dns.rrset.RRset] = ()
    additional: Sequence[dns.rrset.RRset] = ()
    partial: bool = False
    authoritative: bool = True


def read(wire: bytes) -> Query | bytes | None:
    """The query in a message; or the answer to what is no usable query; or None where none may be given.

    A response is never answered (two servers would answer each other for ever), nor what has no whole header.
    """
    if len(wire) < _HEADER.size:
        return None
    number, flags, *_ = _HEADER.unpack_from(wire)
    if flags & dns.flags.QR:
        return None
    if dns.opcode.from_flags(flags) != dns.opcode.QUERY:
        return _refusal(number, flags, dns.rcode.NOTIMP)
    try:
        message = dns.message.from_wire(wire)
    except dns.exception.DNSException:
        return _refusal(number, flags, dns.rcode.FORMERR)
    if len(message.question) != 1:
        return _refusal(number, flags, dns.rcode.FORMERR)
    question = message.question[0]
    query = Query(message, question.name, question.rdtype, question.rdclass)
    if message.edns > 0:
        return write(query, Reply(dns.rcode.BADVERS, authoritative=False), most_bytes=UDP_PLAIN_BYTES)
    return query


def write(query: Query, reply: Reply, *, most_bytes: int) -> bytes:
    """The answer in at most `most_bytes`: whole records only, in order, as many as fit.

    Records of the answer that do not fit set TC; additional ones are left off in silence (RFC 2181, 9).
    """
    message = dns.message.QueryMessage(id=query.message.id)
    message.flags = dns.flags.QR | (query.message.flags & dns.flags.RD)
    if reply.authoritative:
        message.flags |= dns.flags.AA
    if reply.partial:
        message.flags |= dns.flags.TC
    message.question = query.message.question
    if query.message.edns >= 0:
        message.use_edns(0, query.message.ednsflags & dns.flags.DO, UDP_MOST_BYTES)
    message.set_rcode(reply.rcode)
    message.answer = list(reply.answer)
    message.authority = list(reply.authority)
    message.additional = list(reply.additional)
    return message.to_wire(max_size=most_bytes, prefer_truncation=True)


def _refusal(number: int, flags: int, rcode: dns.rcode.Rcode) -> bytes:
    """A header and nothing else, for what was not understood: the id, opcode and RD of the query, an rcode."""
    kept = flags & (0x7800 | dns.flags.RD)
    return _HEADER.pack(number, dns.flags.QR | kept | rcode, 0, 0, 0, 0)
