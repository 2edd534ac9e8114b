"""DNS messages: the bytes of a query become a `Query`, a `Reply` becomes bytes of the size that is allowed. Pure.

dnspython reads and writes the format (RFC 1035, EDNS of RFC 6891). This module decides which messages are queries and
how large an answer may be, and marks an answer that does not fit as truncated.
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
"""The size of an answer over UDP that every client accepts (RFC 1035, 2.3.4)."""

UDP_MOST_BYTES = 1232
"""The largest answer over UDP, whatever larger size a client offers: it passes every network without fragmentation
(DNS flag day 2020), and bounds the amplification of queries with a forged sender."""

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
        """The largest answer over UDP: 512 bytes, or what the client's EDNS offers, up to our bound."""
        if self.message.edns < 0:
            return UDP_PLAIN_BYTES
        return min(UDP_MOST_BYTES, max(UDP_PLAIN_BYTES, self.message.payload))


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer. `partial` says that there are more records than `answer` holds; it becomes the TC bit."""

    rcode: dns.rcode.Rcode = dns.rcode.NOERROR
    answer: Sequence[dns.rrset.RRset] = ()
    authority: Sequence[dns.rrset.RRset] = ()
    additional: Sequence[dns.rrset.RRset] = ()
    partial: bool = False
    authoritative: bool = True


def read(wire: bytes) -> Query | bytes | None:
    """The query in a message; or an error answer where it is no usable query; or None where nothing may be sent.

    Responses are never answered (two servers would answer each other for ever), nor are messages without a header.
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
    """A bare header for a message that was not understood: the id, opcode and RD of the query, and an rcode."""
    kept = flags & (0x7800 | dns.flags.RD)
    return _HEADER.pack(number, dns.flags.QR | kept | rcode, 0, 0, 0, 0)
