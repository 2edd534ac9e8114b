"""Sends broken and odd queries to the DNS port: nothing may raise, and every answer must be readable.

    python -m benchmarks.fuzz.dns [--seconds 60] [--seed N]

Valid queries are mutated (bits, cuts, copies, counts, lengths, pointers) and passed to the code that answers them; some
are also sent to real UDP and TCP sockets, between plain queries that must still be answered, and no callback of the
event loop may take more than 20 ms of its thread's processor time. A finding is printed with the bytes that provoke it,
and makes the exit code 1.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import random
import socket
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence

import dns.edns
import dns.message
import dns.rcode

from registry.discovery.rotations.rotation import Rotation
from registry.discovery.rotations.selector import ANY, Selector
from registry.discovery.snapshot import Snapshot
from registry.dns.message import TCP_MOST_BYTES, UDP_MOST_BYTES, UDP_PLAIN_BYTES, Query, read
from registry.dns.resolver import FollowedService, Resolver
from registry.dns.server import over_tcp, over_udp
from registry.instances.instance import Instance
from registry.runtime.listen import bind, port_of
from tests.support.event_loops.slow_callbacks import slow_callbacks

NAMES = (
    *(
        "classify.service.consul",
        "cLaSsIfY.service.DC1.consul",
        "_classify._tcp.service.consul",
        "empty.service.consul",
    ),
    *(
        "v1.classify.service.consul",
        "many.service.consul",
        "odd.service.consul",
        "nope.service.consul",
        "service.consul",
    ),
    *(
        "7f000001.addr.dc1.consul",
        "0" * 31 + "1.addr.consul",
        "consul",
        "example.com",
        "x" * 63 + ".service.consul",
    ),
)
KINDS = ("SRV", "A", "AAAA", "ANY", "CNAME", "SOA", "TXT", "AXFR", "OPT", "TYPE65535")
ODD_HOSTS = ("bad..name", "x" * 300, "::ffff:10.0.0.1", "fe80::1%lo", "gpu.example.com", "@", ".", "é.example", "")
ODD_BYTES = (b"\x00", b"\xff", b"\xc0\x0c", b"\xc0\xff", b"\x3f", b"\x40", b"\xff\xff", b"\x00\x00")

PURE_PER_ROUND = 300
SENT_PER_ROUND = 20
ANSWER_WITHIN_S = 5.0
FINDINGS_AT_MOST = 5
SLOW_CALLBACK_S = 0.02


class Workers:
    """A service whose workers never change."""

    def __init__(self, hosts: Sequence[str]) -> None:
        instances = [Instance("any", f"w{n}", host, 9000 + n, tags=("v1",)) for n, host in enumerate(hosts)]
        self.snapshot = Snapshot("any", tuple(instances), known=True)
        self._rotation = Rotation(instances)

    def rotation(self, selector: Selector = ANY) -> Rotation:
        return self._rotation if selector.tags <= {"v1"} else Rotation()

    async def wait_until_known(self) -> bool:
        return True


class Services:
    """Services of no, few and many workers."""

    def __init__(self) -> None:
        self.ready = True
        self._services = {
            "classify": Workers(["127.0.0.1", "127.0.0.2", "::1"]),
            "many": Workers([f"10.0.{n // 250}.{n % 250 + 1}" for n in range(400)]),
            "odd": Workers(ODD_HOSTS),
            "empty": Workers([]),
        }
        self.names = sorted(self._services)

    def registered_name(self, name: str) -> str:
        lower = name.lower()
        return next((other for other in self.names if other.lower() == lower), lower)

    def exists(self, name: str) -> bool:
        return name in self._services

    def find(self, name: str) -> FollowedService | None:
        return self._services.get(name)


def valid(chance: random.Random) -> bytes:
    """A valid query."""
    query = dns.message.make_query(chance.choice(NAMES), chance.choice(KINDS), id=chance.randrange(1 << 16))
    if chance.random() < 0.6:
        kind = dns.edns.OptionType.make(chance.randrange(20))
        options: list[dns.edns.Option] = [dns.edns.GenericOption(kind, chance.randbytes(chance.randrange(12)))]
        size = chance.choice((0, 100, 512, 1232, 4096, 65535))
        query.use_edns(chance.choice((0, 0, 0, 1, 255)), chance.choice((0, 0x8000)), size, options=options)
    return query.to_wire()


def mutated(wire: bytes, chance: random.Random) -> bytes:
    """The query with one to six mutations."""
    for _ in range(chance.choice((1, 1, 1, 2, 3, 6))):
        at, end = sorted((chance.randrange(len(wire) + 1), chance.randrange(len(wire) + 1)))
        change = chance.randrange(8)
        if change == 0 and wire:
            at = min(at, len(wire) - 1)
            wire = wire[:at] + bytes([wire[at] ^ 1 << chance.randrange(8)]) + wire[at + 1 :]
        elif change == 1:
            wire = wire[:at] + chance.choice(ODD_BYTES) + wire[at:]
        elif change == 2:
            wire = wire[:at] + wire[end:]
        elif change == 3:
            wire = wire[:end] + wire[at:]
        elif change == 4:
            wire = wire[:at] + chance.randbytes(end - at) + wire[end:]
        elif change == 5:
            field = chance.randrange(2, 12, 2)  # flags or a count
            wire = wire[:field] + chance.randrange(1 << chance.choice((2, 16))).to_bytes(2, "big") + wire[field + 2 :]
        elif change == 6:
            wire = wire[:at]
        else:
            wire = wire + valid(chance)[12:]
    return wire


def check(wire: bytes, answer: bytes | None, *, tcp: bool) -> str:
    """The kind of an answer. Raises AssertionError, or what the reader raises, if the answer is wrong."""
    silent = len(wire) < 12 or bool(wire[2] & 0x80)
    assert (answer is None) == silent, "an answer where there must be none, or none where there must be one"
    if answer is None:
        return "silence"
    assert answer[:2] == wire[:2], "another id"
    assert answer[2] & 0x80, "an answer that says it is a query"
    message = dns.message.from_wire(answer)
    query = read(wire)
    most = query.udp_bytes if isinstance(query, Query) else UDP_PLAIN_BYTES
    assert len(answer) <= (TCP_MOST_BYTES if tcp else min(most, UDP_MOST_BYTES)), "too long"
    if isinstance(query, Query):
        assert message.question == query.message.question, "another question"
    return dns.rcode.to_text(message.rcode())


class Fuzzer:
    """Counts answers by kind, and collects findings."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.counts: Counter[str] = Counter()
        self.findings: list[str] = []
        self.resolver = Resolver(Services())

    def case(self) -> bytes:
        wire = valid(self.chance)
        return wire if self.chance.random() < 0.1 else mutated(wire, self.chance)

    def guarded(self, wires: Sequence[bytes], what: Callable[[], str]) -> None:
        """Count the kind that `what` returns, or add a finding of what it raises, with the bytes."""
        try:
            self.counts[what()] += 1
        except Exception:  # any exception is a finding
            self.findings.append("\n".join([*(wire.hex() for wire in wires), traceback.format_exc()]))

    def pure(self) -> None:
        """Pass one query to the code that answers."""
        wire, tcp = self.case(), self.chance.random() < 0.3

        def answered() -> str:
            query = read(wire)
            if isinstance(query, Query):
                self.resolver.awaited_service(query)
                return check(wire, self.resolver.answer(query, over_tcp=tcp), tcp=tcp)
            return check(wire, query, tcp=tcp)

        self.guarded([wire], answered)

    async def datagrams(self, port: int) -> None:
        """Send a burst over UDP, then a plain query, which must be answered."""
        loop, wires = asyncio.get_running_loop(), [self.case() for _ in range(SENT_PER_ROUND)]
        plain = dns.message.make_query("classify.service.consul", "SRV").to_wire()
        with socket.socket(type=socket.SOCK_DGRAM) as client:
            client.setblocking(False)
            client.connect(("127.0.0.1", port))
            for wire in [*wires, plain]:
                await loop.sock_sendall(client, wire)
            answer = b""
            try:
                async with asyncio.timeout(ANSWER_WITHIN_S):
                    while answer[:2] + answer[12 : len(plain)] != plain[:2] + plain[12:]:
                        answer = await loop.sock_recv(client, 65535)
            except TimeoutError:
                answer = b"\0\0 nothing came"
        await asyncio.to_thread(self.guarded, wires, lambda: "UDP rounds " + check(plain, answer, tcp=False))

    async def connection(self, port: int) -> None:
        """Send many queries and then random bytes over one connection, in pieces; every answer must be whole."""
        wires = [self.case() for _ in range(SENT_PER_ROUND)]
        stream = b"".join(len(wire).to_bytes(2, "big") + wire for wire in wires) + self.chance.randbytes(7)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        received = b""
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                while stream:
                    size = self.chance.randint(1, len(stream))
                    writer.write(stream[:size])
                    await writer.drain()
                    stream = stream[size:]
                writer.write_eof()
                received = await reader.read(-1)
        except ConnectionError:
            self.counts["TCP closed early"] += 1  # as it must be after a query that must not be answered
        except TimeoutError:
            received = b"\0\0 not closed in time"
        finally:
            writer.close()
        await asyncio.to_thread(self.guarded, wires, lambda: self.check_stream(wires, received))

    def check_stream(self, wires: Sequence[bytes], received: bytes) -> str:
        """Check that answers have the order of the queries, up to the first one that must not be answered."""
        for wire in wires:
            if not received:
                break
            length = int.from_bytes(received[:2], "big")
            check(wire, received[2 : 2 + length], tcp=True)
            received = received[2 + length :]
        assert not received, "more answers than queries"
        return "TCP rounds"

    async def run(self, seconds: float) -> None:
        """Fuzz for so long, or until there are FINDINGS_AT_MOST findings."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: self.findings.append(str(context)))
        tcp, udp = bind("127.0.0.1", 0), socket.socket(type=socket.SOCK_DGRAM)
        udp.setblocking(False)
        udp.bind(tcp.getsockname())
        until_s = time.monotonic() + seconds
        gc.collect()
        gc.freeze()  # a collection of all that this process has imported would be a slow callback
        with slow_callbacks(SLOW_CALLBACK_S) as slow:
            async with over_udp(self.resolver, udp), over_tcp(self.resolver, tcp):
                while time.monotonic() < until_s and len(self.findings) + len(slow) < FINDINGS_AT_MOST:
                    for _ in range(PURE_PER_ROUND):
                        self.pure()
                        await asyncio.sleep(0)  # all of them together would be a slow callback
                    await self.datagrams(port_of(tcp))
                    await self.connection(port_of(tcp))
        self.findings += [f"A callback took {each}" for each in slow]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    options = parser.parse_args()
    fuzzer = Fuzzer(options.seed)
    asyncio.run(fuzzer.run(options.seconds))
    print(f"seed {options.seed}: {sum(fuzzer.counts.values())} checks, {len(fuzzer.findings)} findings")
    for kind, count in fuzzer.counts.most_common():
        print(f"{count:10} {kind}")
    for finding in fuzzer.findings:
        print("\n" + finding, file=sys.stderr)
    sys.exit(bool(fuzzer.findings))


if __name__ == "__main__":
    main()
