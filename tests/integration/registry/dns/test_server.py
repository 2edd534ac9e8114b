"""The lookup service as DNS, over real sockets, beside a real Consul's own DNS with the same instances."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from urllib.request import Request, urlopen

import aiohttp
import dns.asyncquery
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import pytest

from registry.consul.catalog import Catalog, Checks
from registry.consul.settings import ConsulSettings
from registry.discovery.rotations.rotation import Rotation
from registry.discovery.rotations.selector import ANY, Selector
from registry.discovery.snapshot import Snapshot
from registry.dns.resolver import TCP_RECORDS_AT_MOST, Resolver
from registry.dns.server import WAITING_AT_MOST, over_tcp, over_udp
from registry.instances.instance import Instance
from registry.runtime.errors import SettingsError
from registry.runtime.listen import bind, port_of
from registry.server import RunningRegistry, running
from registry.settings import RegistrySettings
from tests.support.command_process import command, free_port
from tests.support.consul_process import ConsulProcess
from tests.support.event_loops.callback_check import LONGEST_S
from tests.support.event_loops.slow_callbacks import slow_callbacks
from tests.support.waiting import until

DATACENTER = "berlin"
MANY = 150

FLEET = [
    Instance("classify", "c1", "127.0.0.1", 9001, weight=4, tags=("v1",)),
    Instance("classify", "c2", "127.0.0.2", 9002, weight=4, tags=("V2", "v3.1")),
    Instance("classify", "c3", "127.0.0.2", 9003, weight=4, tags=("V2",)),
    Instance("six", "s1", "::1", 9001),
    Instance("six", "s2", "fd00::2", 9002),
    Instance("mixed", "m1", "10.0.0.1", 9001),
    Instance("mixed", "m2", "fd00::2", 9002),
    Instance("mixed", "m3", "gpu-3.example.com", 9003),
    Instance("named", "n1", "gpu-1.example.com", 9001),
    Instance("Upper", "u1", "10.0.0.9", 9001),
    Instance("sick", "k1", "10.0.0.9", 9001),
    Instance("half-sick", "h1", "10.0.0.1", 9001),
    Instance("half-sick", "h2", "10.0.0.2", 9001),
    Instance("resting", "r1", "10.0.0.9", 9001),
]


@pytest.fixture(scope="module")
def dns_consul(consul_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsulProcess]:
    """A Consul with the fleet in it."""
    process = ConsulProcess(consul_binary, tmp_path_factory.mktemp("consul"), datacenter=DATACENTER)
    process.start()
    asyncio.run(_register_fleet(process.url))
    for number in range(MANY):  # by hand: without our tag, so that nobody follows them unasked
        place = {"Address": f"10.1.0.{number + 1}", "Port": 9000 + number}
        _put(process.url, {"Name": "many", "ID": f"y{number}", **place})
    yield process
    process.stop()


async def _register_fleet(url: str) -> None:
    catalog = Catalog(ConsulSettings(url=url))
    for instance in FLEET:
        # A check that passes for as long as Consul runs, and one that waits for its heartbeat.
        await catalog.register(instance, Checks(f"{url}/v1/status/leader", ttl_s=1000))
    for sick in ("k1", "h1"):
        await catalog.silence(sick, note="sick")
    await catalog.maintenance("r1", enable=True)
    await catalog.close()


def _put(url: str, service: dict[str, object]) -> None:
    body = json.dumps(service).encode()
    urlopen(Request(f"{url}/v1/agent/service/register", data=body, method="PUT"), timeout=10).close()


@pytest.fixture
async def registry(dns_consul: ConsulProcess) -> AsyncIterator[RunningRegistry]:
    """A lookup service with DNS that knows the fleet and its datacenter."""
    settings = RegistrySettings(backend=ConsulSettings(url=dns_consul.url), port=0, dns_port=0)
    async with running(settings) as registry:

        async def knows_all() -> bool:
            names = {i.service for i in FLEET} | {"many"}
            there = [await ask(port(registry), f"classify.service.{DATACENTER}.consul", "SRV")]
            return set(registry.directory.names) >= names and bool(there[0].answer)

        await until(knows_all)
        yield registry


def port(registry: RunningRegistry) -> int:
    assert registry.dns_port is not None
    return registry.dns_port


async def ask(port: int, name: str, kind: str, *, over_tcp: bool = False, edns: bool = True) -> dns.message.Message:
    query = dns.message.make_query(name, kind, use_edns=0 if edns else -1)
    exchange = dns.asyncquery.tcp if over_tcp else dns.asyncquery.udp
    return await exchange(query, "127.0.0.1", port=port, timeout=10, one_rr_per_rrset=True)


def comparable(message: dns.message.Message) -> dict[str, object]:
    """What must be equal in two answers: all but order, the SOA's serial and Consul's notes on nodes."""
    return {
        "rcode": dns.rcode.to_text(message.rcode()),
        "flags": dns.flags.to_text(message.flags),
        "answer": sorted(r.to_text() for r in message.answer),
        "additional": sorted({r.to_text() for r in message.additional if r.rdtype != dns.rdatatype.TXT}),
        "authority": [" ".join(w for w in r.to_text().split() if len(w) < 10 or "." in w) for r in message.authority],
        "edns": message.edns,
    }


SAME = [
    *((f"{name}.service.consul", kind) for name in ("classify", "six") for kind in ("SRV", "A", "AAAA", "ANY")),
    *(("mixed.service.consul", kind) for kind in ("SRV", "A", "AAAA", "ANY", "CNAME")),
    *(("named.service.consul", kind) for kind in ("SRV", "A", "AAAA", "ANY", "CNAME")),
    *((f"{name}.service.consul", "SRV") for name in ("sick", "half-sick", "resting", "nope", "upper", "UPPER")),
    (f"classify.service.{DATACENTER}.consul", "SRV"),
    (f"Classify.Service.{DATACENTER.upper()}.CONSUL", "A"),
    ("classify.service.dc1.consul", "SRV"),
    ("_classify._tcp.service.consul", "SRV"),
    (f"_classify._tcp.service.{DATACENTER}.consul", "SRV"),
    ("_classify._udp.service.consul", "SRV"),
    ("_classify._v2.service.consul", "SRV"),
    ("v1.classify.service.consul", "SRV"),
    ("v2.classify.service.consul", "A"),
    ("v3.1.classify.service.consul", "A"),
    ("v9.classify.service.consul", "SRV"),
    (f"7f000002.addr.{DATACENTER}.consul", "A"),
    (f"fd000000000000000000000000000002.addr.{DATACENTER}.consul", "AAAA"),
    ("7f000002.addr.consul", "ANY"),
    ("zz000002.addr.consul", "A"),
    ("classify.consul", "A"),
    ("classify.x.consul", "A"),
]


@pytest.mark.parametrize("over_tcp", [False, True], ids=["udp", "tcp"])
async def test_answers_are_consuls_own(registry: RunningRegistry, dns_consul: ConsulProcess, over_tcp: bool) -> None:
    """For the same instances every kind of question has the same answer here and at Consul, order apart."""
    for name, kind in SAME:
        ours = comparable(await ask(port(registry), name, kind, over_tcp=over_tcp))
        theirs = comparable(await ask(dns_consul.dns_port, name, kind, over_tcp=over_tcp))
        assert ours == theirs, f"{name} {kind}"


async def test_refusals_are_consuls_own(registry: RunningRegistry, dns_consul: ConsulProcess) -> None:
    """Other zones are refused, other opcodes not implemented, by both alike."""
    for name in ("example.com", "."):
        ours, theirs = [(await ask(p, name, "A", edns=False)) for p in (port(registry), dns_consul.dns_port)]
        assert comparable(ours) == comparable(theirs)
        assert ours.rcode() == dns.rcode.REFUSED
    for opcode in (2, 5):
        query = dns.message.QueryMessage(id=5)
        query.set_opcode(dns.opcode.Opcode(opcode))
        answers = [
            await dns.asyncquery.udp(query, "127.0.0.1", port=p, timeout=10)
            for p in (port(registry), dns_consul.dns_port)
        ]
        assert [a.rcode() for a in answers] == [dns.rcode.NOTIMP, dns.rcode.NOTIMP]


async def test_dns_and_http_walk_one_rotation(registry: RunningRegistry) -> None:
    """DNS answers and HTTP lookups in turn name the workers in one strict rotation."""
    named: list[int] = []
    async with aiohttp.ClientSession() as http:
        for _ in range(3):
            answer = await ask(port(registry), "classify.service.consul", "SRV")
            named.append(int(answer.answer[0][0].to_text().split()[2]))
            async with http.get(f"{registry.url}/next") as response:
                named.append(int((await response.text()).split(":")[1]))
    assert {named[n] for n in range(3)} == {9001, 9002, 9003}
    assert named[:3] == named[3:]


async def test_a_service_that_was_never_asked_for_is_answered_at_once(registry: RunningRegistry) -> None:
    """The first query for a service that is not followed waits for Consul and gets a whole answer."""
    assert registry.directory.followed("many") is None
    answer = await ask(port(registry), "many.service.consul", "A", over_tcp=True)
    assert len(answer.answer) == TCP_RECORDS_AT_MOST


async def test_a_truncated_answer_leads_to_tcp(registry: RunningRegistry) -> None:
    """A client that follows TC, as resolvers do, ends with more than fits into a datagram."""
    for edns in (False, True):
        query = dns.message.make_query("many.service.consul", "SRV", use_edns=0 if edns else -1)
        small = await dns.asyncquery.udp(query, "127.0.0.1", port=port(registry), timeout=10, one_rr_per_rrset=True)
        answer, used_tcp = await dns.asyncquery.udp_with_fallback(
            query, "127.0.0.1", port=port(registry), timeout=10, one_rr_per_rrset=True
        )
        assert small.flags & dns.flags.TC
        assert used_tcp
        assert len(answer.answer) == TCP_RECORDS_AT_MOST > len(small.answer) > 0
        assert not answer.flags & dns.flags.TC


async def test_changes_in_consul_reach_dns(registry: RunningRegistry, dns_consul: ConsulProcess) -> None:
    """A worker that registers is answered, and one that leaves is not any more."""
    catalog = Catalog(ConsulSettings(url=dns_consul.url))
    passing = Checks(f"{dns_consul.url}/v1/status/leader", ttl_s=None)

    async def addresses() -> list[str]:
        answer = await ask(port(registry), "coming.service.consul", "A")
        return sorted(r[0].to_text() for r in answer.answer)

    assert await addresses() == []
    for number in (1, 2):
        await catalog.register(Instance("coming", f"g{number}", f"10.0.0.{number}", 9000), passing)
    await until(lambda: _equals(addresses, ["10.0.0.1", "10.0.0.2"]))
    await catalog.deregister("g1")
    await until(lambda: _equals(addresses, ["10.0.0.2"]))
    await catalog.deregister("g2")
    await catalog.close()


async def _equals(addresses: object, expected: list[str]) -> bool:
    return await addresses() == expected  # type: ignore[operator,no-any-return]  # an async function, see above


async def converse(stream: tuple[asyncio.StreamReader, asyncio.StreamWriter], *queries: bytes) -> list[bytes]:
    """Send the messages in one piece; the answers in the order in which they come."""
    reader, writer = stream
    writer.write(b"".join(len(q).to_bytes(2, "big") + q for q in queries))
    return [await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big")) for _ in queries]


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()


def query(name: str = "classify.service.consul", number: int = 1) -> bytes:
    return dns.message.make_query(name, "A", id=number).to_wire()


async def test_a_connection_carries_many_queries(registry: RunningRegistry) -> None:
    """Queries sent at once are answered in their order, also after one that made no sense, or came in pieces."""
    async with connected(port(registry)) as (reader, writer):
        messages = [query(number=1), b"\0\2\0\0nonsense", query("nope.service.consul", number=3)]
        answers = await converse((reader, writer), *messages)
        assert [int.from_bytes(a[:2], "big") for a in answers] == [1, 2, 3]
        assert [a[3] & 15 for a in answers] == [dns.rcode.NOERROR, dns.rcode.FORMERR, dns.rcode.NXDOMAIN]
        whole = query(number=4)
        for byte in len(whole).to_bytes(2, "big") + whole:
            writer.write(bytes([byte]))
            await writer.drain()
        length = int.from_bytes(await asyncio.wait_for(reader.readexactly(2), 10), "big")
        assert (await reader.readexactly(length))[:2] == whole[:2]


@pytest.mark.parametrize("message", [b"", b"short", b"\0\1\x80\0" + bytes(8)], ids=["empty", "short", "response"])
async def test_what_may_not_be_answered_ends_the_connection(registry: RunningRegistry, message: bytes) -> None:
    """Over TCP, a message that gets no answer closes the connection rather than leave the client waiting."""
    async with connected(port(registry)) as (reader, writer):
        writer.write(len(message).to_bytes(2, "big") + message)
        assert await asyncio.wait_for(reader.read(), 10) == b""


async def test_a_response_over_udp_is_not_answered(registry: RunningRegistry) -> None:
    """A response and a fragment get nothing back; the query sent after them is the first to be answered."""
    loop = asyncio.get_running_loop()
    with socket.socket(type=socket.SOCK_DGRAM) as client:
        client.setblocking(False)
        client.connect(("127.0.0.1", port(registry)))
        plain = query(number=9)
        for message in (plain[:2] + b"\x84" + plain[3:], plain[:11], b"", plain):
            client.send(message)
        answer = await asyncio.wait_for(loop.sock_recv(client, 2000), 10)
    assert dns.message.from_wire(answer).rcode() == dns.rcode.NOERROR
    assert answer[:2] == plain[:2]


async def test_idle_connections_give_way(registry: RunningRegistry) -> None:
    """Where all connections are taken, a new one is served; the one that has been idle for longest is closed for it."""
    listener = bind("127.0.0.1", 0)
    number = port_of(listener)
    answering = over_tcp(Resolver(registry.directory), listener, connections=2)
    async with answering, connected(number) as first, connected(number) as second, connected(number) as third:
        await converse(second, query())
        assert len(await converse(third, query())) == 1
        assert await asyncio.wait_for(first[0].read(), 5) == b""
        assert len(await converse(second, query())) == 1


async def test_surplus_connections_are_closed() -> None:
    """Where all connections are taken and a query is being answered on each, a new one is closed at once."""
    listener, services = bind("127.0.0.1", 0), Unlearned()
    number = port_of(listener)
    async with over_tcp(Resolver(services), listener, connections=1), connected(number) as busy:  # type: ignore[arg-type]  # a fake
        asked = query()
        busy[1].write(len(asked).to_bytes(2, "big") + asked)
        await until(lambda: services.waiting)
        async with connected(number) as surplus:
            assert await asyncio.wait_for(surplus[0].read(), 5) == b""
        services.spoken.set()
        assert await asyncio.wait_for(busy[0].readexactly(2), 5)


async def test_idle_connections_are_closed(registry: RunningRegistry) -> None:
    """A connection that carries nothing, or half a query, is closed after the idle time."""
    listener = bind("127.0.0.1", 0)
    number = port_of(listener)
    answering = over_tcp(Resolver(registry.directory), listener, idle_s=0.3)
    async with answering, connected(number) as silent, connected(number) as half:
        await converse(half, query())
        half[1].write(b"\0\x20half")
        assert await asyncio.wait_for(half[0].read(), 10) == b""
        assert await asyncio.wait_for(silent[0].read(), 10) == b""


async def test_a_client_that_does_not_read_is_dropped(registry: RunningRegistry) -> None:
    """Who only asks and never reads is cut off after the idle time, with what was meant for it."""
    listener, loop = bind("127.0.0.1", 0), asyncio.get_running_loop()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)  # so that answers soon pile up
    asked = dns.message.make_query("many.service.consul", "SRV").to_wire()
    async with over_tcp(Resolver(registry.directory), listener, idle_s=0.3):
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.setblocking(False)
            await loop.sock_connect(client, ("127.0.0.1", port_of(listener)))
            with pytest.raises(ConnectionError):
                await asyncio.wait_for(_send_for_ever(client, len(asked).to_bytes(2, "big") + asked), 30)


async def test_queries_sent_at_once_hold_up_nobody(registry: RunningRegistry) -> None:
    """Queries of one connection that arrive together are answered in steps of the event loop, one at a time."""
    listener, at_once = bind("127.0.0.1", 0), 200
    asked = dns.message.make_query("many.service.consul", "SRV").to_wire()
    async with over_tcp(Resolver(registry.directory), listener), connected(port_of(listener)) as (reader, writer):
        with slow_callbacks(LONGEST_S, collections=False) as slow:
            writer.write(at_once * (len(asked).to_bytes(2, "big") + asked))
            for _ in range(at_once):
                await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
    assert slow == []


async def _send_for_ever(client: socket.socket, data: bytes) -> None:
    while True:
        await asyncio.get_running_loop().sock_sendall(client, data)
        await asyncio.sleep(0)


class Unlearned:
    """A listing of one service, of which Consul has not spoken yet."""

    ready = True
    names = ("classify",)
    snapshot = Snapshot("classify")

    def __init__(self) -> None:
        self.spoken = asyncio.Event()
        self.waiting = 0

    def registered_name(self, name: str) -> str:
        lower = name.lower()
        return next((other for other in self.names if other.lower() == lower), lower)

    def exists(self, name: str) -> bool:
        return name == "classify"

    def find(self, name: str) -> Unlearned | None:
        return self if self.exists(name) else None

    def rotation(self, selector: Selector = ANY) -> Rotation:
        return Rotation()

    async def wait_until_known(self) -> bool:
        self.waiting += 1
        return await self.spoken.wait()


async def test_only_so_many_queries_wait() -> None:
    """Beyond the bound a query for an unlearned service is answered at once; the others, when it is learned."""
    loop, listing = asyncio.get_running_loop(), Unlearned()
    with socket.socket(type=socket.SOCK_DGRAM) as client:
        server = socket.socket(type=socket.SOCK_DGRAM)
        for each in (client, server):
            each.setblocking(False)
        server.bind(("127.0.0.1", 0))
        client.connect(server.getsockname())
        async with over_udp(Resolver(listing), server):
            for number in range(WAITING_AT_MOST + 1):
                client.send(query(number=number))
            at_once = await asyncio.wait_for(loop.sock_recv(client, 2000), 10)
            listing.spoken.set()
            later = [await asyncio.wait_for(loop.sock_recv(client, 2000), 10) for _ in range(WAITING_AT_MOST)]
    assert int.from_bytes(at_once[:2], "big") == WAITING_AT_MOST
    assert sorted(int.from_bytes(answer[:2], "big") for answer in later) == list(range(WAITING_AT_MOST))
    assert {answer[3] & 15 for answer in [at_once, *later]} == {dns.rcode.SERVFAIL}


async def test_a_stop_closes_connections(dns_consul: ConsulProcess) -> None:
    """The end of the service ends open connections at once, however idle."""
    settings = RegistrySettings(backend=ConsulSettings(url=dns_consul.url), port=0, dns_port=0)
    async with asyncio.timeout(10):
        async with running(settings) as registry:
            reader, writer = await asyncio.open_connection("127.0.0.1", port(registry))
            await converse((reader, writer), query("consul"))
        assert await reader.read() == b""
        writer.close()


async def test_without_consul_another_server_is_asked() -> None:
    """While Consul never answered, a service is SERVFAIL, and what needs no Consul is answered."""
    settings = RegistrySettings(backend=ConsulSettings(url=f"http://127.0.0.1:{free_port()}"), port=0, dns_port=0)
    async with running(settings) as registry:
        names = ("classify.service.consul", "other.service.consul", "7f000001.addr.consul")
        answers = await asyncio.gather(
            *(ask(port(registry), name, "A", over_tcp=tcp) for tcp in (False, True) for name in names)
        )
    assert [a.rcode() for a in answers] == [dns.rcode.SERVFAIL, dns.rcode.SERVFAIL, dns.rcode.NOERROR] * 2


async def test_without_the_flag_there_is_no_dns(dns_consul: ConsulProcess) -> None:
    """DNS is off unless asked for."""
    async with running(RegistrySettings(backend=ConsulSettings(url=dns_consul.url), port=0)) as registry:
        assert registry.dns_port is None


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM], ids=["tcp", "udp"])
async def test_a_taken_port_is_named_with_its_cure(kind: socket.SocketKind, dns_consul: ConsulProcess) -> None:
    """A port that another program has, for either protocol: SettingsError that names it and --dns-port."""
    with socket.socket(type=kind) as holder:
        holder.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            holder.listen()
        taken = holder.getsockname()[1]
        settings = RegistrySettings(backend=ConsulSettings(url=dns_consul.url), port=0, dns_port=taken)
        with pytest.raises(SettingsError, match=rf"Port {taken} on 127\.0\.0\.1 .*another with --dns-port\."):
            async with running(settings):
                pass


async def dig(port: int, *arguments: str) -> str:
    program = shutil.which("dig")
    if program is None:
        pytest.skip("dig is not installed (Debian: bind9-dnsutils)")
    call = [program, "@127.0.0.1", "-p", str(port), "+tries=1", "+time=10", *arguments]
    done = await asyncio.to_thread(subprocess.run, call, capture_output=True, text=True, timeout=30, check=True)
    return done.stdout


async def test_dig_reads_what_we_write(registry: RunningRegistry) -> None:
    """`dig` finds services, addresses and refusals, over UDP and TCP, with nothing malformed or odd to report."""
    number = port(registry)
    for options in ((), ("+tcp",), ("+noedns",), ("+subnet=10.0.0.0/8", "+dnssec")):
        lines = (await dig(number, "+short", *options, "classify.service.consul", "SRV")).splitlines()
        targets = {line.split()[3] for line in lines}
        assert sorted(line.split()[:3] for line in lines) == [["1", "4", str(p)] for p in (9001, 9002, 9003)]
        assert targets == {f"7f00000{n}.addr.{DATACENTER}.consul." for n in (1, 2)}
        assert (await dig(number, "+short", *options, targets.pop(), "A")).startswith("127.0.0.")
        whole = await dig(number, *options, "classify.service.consul", "SRV")
        assert "status: NOERROR" in whole
        assert not {"malformed", "mismatch", "Warning"} & set(whole.replace(":", " ").split())
    firsts = [(await dig(number, "+short", "six.service.consul", "AAAA")).split()[0] for _ in range(4)]
    assert firsts[0] == firsts[2] != firsts[1] == firsts[3]
    assert all(a != b for a, b in pairwise(firsts))
    assert ";; Truncated, retrying in TCP mode." in await dig(number, "+noedns", "many.service.consul", "A")
    assert "status: NXDOMAIN" in await dig(number, "nope.service.consul")
    assert "status: REFUSED" in await dig(number, "example.com")
    assert "status: BADVERS" in await dig(number, "+edns=1", "+noednsneg", "classify.service.consul")
    assert "status: NOTIMP" in await dig(number, "+opcode=update", "classify.service.consul")


async def test_the_command_answers_dns_from_several_processes(dns_consul: ConsulProcess) -> None:
    """`p2p registry --dns-port N --processes 2`: both processes answer on the one port, over UDP and TCP."""
    number = free_port()
    arguments = [
        "--port",
        "0",
        "--dns-port",
        str(number),
        "--processes",
        "2",
        "--consul",
        dns_consul.url,
        "--state",
        "",
    ]
    async with command("registry", *arguments) as registry:
        await until(lambda: registry.output.count(f"DNS for .consul on port {number}") == 2, within_s=30)

        async def answered(over_tcp: bool) -> bool:
            asked = [ask(number, "classify.service.consul", "SRV", over_tcp=over_tcp) for _ in range(20)]
            return all(len(answer.answer) == 3 for answer in await asyncio.gather(*asked))

        for over_tcp in (False, True):
            await until(lambda tcp=over_tcp: answered(tcp))
