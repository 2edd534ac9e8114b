"""DNS answers, from a query's bytes to an answer's bytes, over a listing of services made by hand."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import dns.tsig
import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.discovery.rotations.rotation import Rotation
from registry.discovery.rotations.selector import ANY, Selector
from registry.discovery.snapshot import Snapshot
from registry.dns.message import Query, read
from registry.dns.resolver import TCP_RECORDS_AT_MOST, WORKERS_AT_MOST, FollowedService, Resolver
from registry.instances.instance import Health, Instance


class FakeService:
    """A followed service whose workers never change."""

    def __init__(self, workers: Sequence[Instance], *, known: bool = True) -> None:
        self.snapshot = Snapshot("any", tuple(workers), known=known)
        self._rotations: dict[Selector, Rotation] = {}

    def rotation(self, selector: Selector = ANY) -> Rotation:
        fitting = [i for i in self.snapshot.eligible if selector.matches(i)]
        return self._rotations.setdefault(selector, Rotation(fitting, chance=random.Random(1)))

    async def wait_until_known(self) -> bool:
        raise AssertionError("an answer is made from what is known")


class FakeDirectory:
    """Services by name; those in `unfollowed` exist, but cannot be followed any more."""

    def __init__(
        self, services: Mapping[str, FakeService], *, ready: bool = True, unfollowed: frozenset[str] = frozenset()
    ) -> None:
        self._services = services
        self._unfollowed = unfollowed
        self.ready = ready
        self.names = sorted(services)

    def registered_name(self, name: str) -> str:
        lower = name.lower()
        return next((other for other in self.names if other.lower() == lower), lower)

    def exists(self, name: str) -> bool:
        return name in self._services or name in self._unfollowed

    def find(self, name: str) -> FollowedService | None:
        return self._services.get(name)


def worker(number: int, host: str | None = None, **fields: object) -> Instance:
    values = {"host": host or f"10.0.{number // 250}.{number % 250 + 1}", "port": 9000 + number, **fields}
    return Instance("classify", f"w{number}", **values)  # type: ignore[arg-type]  # a shorthand for this file


def resolver_of(*workers: Instance, name: str = "classify") -> Resolver:
    return Resolver(FakeDirectory({name: FakeService(workers)}))


def ask(
    resolver: Resolver,
    name: str,
    kind: str = "SRV",
    *,
    rdclass: str = "IN",
    edns_bytes: int | None = None,
    over_tcp: bool = False,
) -> dns.message.Message:
    """The answer as a client parses it, its size checked."""
    edns = {} if edns_bytes is None else {"use_edns": 0, "payload": edns_bytes}
    query = dns.message.make_query(name, kind, rdclass, **edns)
    wire = answer_to(resolver, query.to_wire(), over_tcp=over_tcp)
    assert wire is not None
    limit = 512 if edns_bytes is None else max(512, min(edns_bytes, 1232))
    assert len(wire) <= (65535 if over_tcp else limit)
    answer = dns.message.from_wire(wire, one_rr_per_rrset=True)
    assert query.is_response(answer)
    return answer


def answer_to(resolver: Resolver, wire: bytes, *, over_tcp: bool = False) -> bytes | None:
    query = read(wire)
    return resolver.answer(query, over_tcp=over_tcp) if isinstance(query, Query) else query


def texts(section: Sequence[dns.rrset.RRset]) -> list[str]:
    return [rrset.to_text() for rrset in section]


def data(section: Sequence[dns.rrset.RRset]) -> list[str]:
    return [rrset[0].to_text() for rrset in section]


def has_soa(answer: dns.message.Message) -> bool:
    return [str(r.name) for r in answer.authority if r.rdtype == dns.rdatatype.SOA] == ["consul."]


def test_an_srv_answer_reads_as_consuls_own() -> None:
    """One IPv4 worker: priority 1, its weight and port, a name that spells its address, and that address."""
    answer = ask(resolver_of(worker(1, "127.0.0.1", port=9001, weight=4)), "classify.service.consul")
    assert texts(answer.answer) == ["classify.service.consul. 0 IN SRV 1 4 9001 7f000001.addr.dc1.consul."]
    assert texts(answer.additional) == ["7f000001.addr.dc1.consul. 0 IN A 127.0.0.1"]
    assert answer.flags == dns.flags.QR | dns.flags.AA | dns.flags.RD


def test_ipv6_workers_are_answered_alike() -> None:
    """An IPv6 worker's name has its 32 digits, and its address is an AAAA record."""
    resolver = resolver_of(worker(1, "fd00::2"))
    answer = ask(resolver, "classify.service.consul")
    target = "fd000000000000000000000000000002.addr.dc1.consul."
    assert data(answer.answer) == [f"1 1 9001 {target}"]
    assert texts(answer.additional) == [f"{target} 0 IN AAAA fd00::2"]
    assert data(ask(resolver, "classify.service.consul", "AAAA").answer) == ["fd00::2"]
    assert data(ask(resolver, target, "AAAA").answer) == ["fd00::2"]


def test_an_ipv4_address_mapped_to_ipv6_is_ipv4() -> None:
    """As Consul has it, ::ffff:10.0.0.1 is 10.0.0.1."""
    assert data(ask(resolver_of(worker(1, "::ffff:10.0.0.1")), "classify.service.consul", "A").answer) == ["10.0.0.1"]


@pytest.mark.parametrize("kind", ["A", "AAAA", "ANY", "CNAME"])
def test_a_worker_with_a_name_is_an_alias(kind: str) -> None:
    """A worker registered under a host name is a CNAME, and the target of its SRV record is the name itself."""
    resolver = resolver_of(worker(1, "gpu-1.example.com"))
    assert texts(ask(resolver, "classify.service.consul", kind).answer) == [
        "classify.service.consul. 0 IN CNAME gpu-1.example.com."
    ]
    assert data(ask(resolver, "classify.service.consul").answer) == ["1 1 9001 gpu-1.example.com."]


def test_addresses_go_before_an_alias() -> None:
    """A name with an address of the asked type has no CNAME beside it."""
    resolver = resolver_of(worker(1, "gpu-1.example.com"), worker(2), worker(3, "fd00::3"))
    assert data(ask(resolver, "classify.service.consul", "A").answer) == ["10.0.0.3"]
    assert sorted(data(ask(resolver, "classify.service.consul", "ANY").answer)) == ["10.0.0.3", "fd00::3"]


@pytest.mark.parametrize("host", ["bad..name", "x" * 64, ".", "@", "a." * 127 + "b", "\\999"])
def test_a_host_that_dns_cannot_express_is_left_out(host: str) -> None:
    """Such a worker is skipped, and the others are answered."""
    resolver = resolver_of(worker(1, host), worker(2))
    assert data(ask(resolver, "classify.service.consul").answer) == ["1 1 9002 0a000003.addr.dc1.consul."]
    assert data(ask(resolver, "classify.service.consul", "A").answer) == ["10.0.0.3"]


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("kind", ["SRV", "A"])
def test_the_first_records_are_the_rotation(kind: str, count: int) -> None:
    """Any N answers about N equal workers begin with N different ones, and each answer lists all."""
    resolver = resolver_of(*(worker(n) for n in range(count)))
    answers = [data(ask(resolver, "classify.service.consul", kind, edns_bytes=1232).answer) for _ in range(2 * count)]
    firsts = [answer[0] for answer in answers]
    assert all(len(set(answer)) == count for answer in answers)
    assert all(len(set(firsts[n : n + count])) == count for n in range(count))


def test_dns_and_http_share_the_rotation() -> None:
    """A DNS answer uses up one turn: the next lookup of any kind names the worker after its first record."""
    service = FakeService([worker(n) for n in range(3)])
    resolver = Resolver(FakeDirectory({"classify": service}))
    seen = []
    for _ in range(3):
        seen += data(ask(resolver, "classify.service.consul", "A").answer)[:1]
        following = service.rotation().next()
        assert following is not None
        seen.append(following.host)
    assert seen[:3] == seen[3:]
    assert len(set(seen)) == 3


def test_asking_for_both_families_uses_one_turn() -> None:
    """A client that asks for A and AAAA each time still meets every worker, for no answer is no turn."""
    resolver = resolver_of(worker(1), worker(2))
    firsts = set()
    for _ in range(2):
        firsts.add(data(ask(resolver, "classify.service.consul", "A").answer)[0])
        assert not ask(resolver, "classify.service.consul", "AAAA").answer
    assert len(firsts) == 2


@pytest.mark.parametrize("spelling", ["classify", "CLASSIFY", "cLaSsIfY"])
@pytest.mark.parametrize("registered", ["classify", "Classify"])
def test_case_means_nothing_and_is_echoed(registered: str, spelling: str) -> None:
    """A service is found in any spelling, and question and records have the spelling that was asked."""
    answer = ask(resolver_of(worker(1), name=registered), f"{spelling}.Service.CONSUL", "A")
    assert data(answer.answer) == ["10.0.0.2"]
    assert answer.question[0].name.to_text() == f"{spelling}.Service.CONSUL."
    assert answer.answer[0].name.to_text() == f"{spelling}.Service.CONSUL."


@pytest.mark.parametrize("name", ["V2.classify", "v2.classify", "_classify._V2", "_Classify._v2"])
def test_a_tag_filters(name: str) -> None:
    """Only workers with the tag are answered, however either is spelled."""
    resolver = resolver_of(worker(1, tags=("v1",)), worker(2, tags=("p2p", "V2")))
    assert data(ask(resolver, f"{name}.service.consul", "A").answer) == ["10.0.0.3"]


@pytest.mark.parametrize("name", ["nope", "v9.classify", "_classify._udp", "sick"])
def test_what_is_not_there_is_nxdomain(name: str) -> None:
    """An unknown service, a tag nobody has and a service without a healthy worker: NXDOMAIN, with the SOA."""
    sick = worker(1, health=Health.CRITICAL)
    resolver = Resolver(FakeDirectory({"classify": FakeService([worker(1)]), "sick": FakeService([sick])}))
    for kind in ("SRV", "A", "TXT"):
        answer = ask(resolver, f"{name}.service.consul", kind)
        assert answer.rcode() == dns.rcode.NXDOMAIN
        assert has_soa(answer)
        assert answer.flags & dns.flags.AA


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("classify.service.consul", "AAAA"),
        ("classify.service.consul", "TXT"),
        ("classify.service.consul", "NS"),
        ("classify.service.consul", "CNAME"),
        ("7f000001.addr.dc1.consul", "AAAA"),
        ("7f000001.addr.dc1.consul", "SRV"),
        ("service.consul", "A"),
        ("consul", "A"),
    ],
)
def test_a_type_that_is_not_there_is_no_error(name: str, kind: str) -> None:
    """A name that exists without records of the type: NOERROR, no answer, the SOA."""
    answer = ask(resolver_of(worker(1)), name, kind)
    assert answer.rcode() == dns.rcode.NOERROR
    assert not answer.answer
    assert has_soa(answer)


SOA_WITHOUT_SERIAL = ["ns.consul.", "hostmaster.consul.", "3600", "600", "86400", "0"]


def test_the_zone_has_an_soa() -> None:
    """`consul. SOA` is answered as Consul does; nothing of it may be cached."""
    (record,) = ask(resolver_of(worker(1)), "consul", "SOA").answer
    names_and_times = record[0].to_text().split()
    assert names_and_times[:2] + names_and_times[3:] == SOA_WITHOUT_SERIAL
    assert record.ttl == 0


@pytest.mark.parametrize(
    ("name", "kind", "rdclass"),
    [
        ("example.com", "A", "IN"),
        (".", "NS", "IN"),
        ("classify.service.consul", "A", "CH"),
        ("classify.service.consul", "A", "ANY"),
        ("consul", "AXFR", "IN"),
        ("consul", "IXFR", "IN"),
    ],
)
def test_what_is_not_ours_is_refused(name: str, kind: str, rdclass: str) -> None:
    """Other zones, other classes and zone transfers: REFUSED, and nothing else in it."""
    answer = ask(resolver_of(worker(1)), name, kind, rdclass=rdclass, over_tcp=True)
    assert answer.rcode() == dns.rcode.REFUSED
    assert not [*answer.answer, *answer.authority, *answer.additional]
    assert not answer.flags & dns.flags.AA


def test_before_consul_answered_another_server_is_asked() -> None:
    """What is not known yet is SERVFAIL, never NXDOMAIN: a service unknown, unlisted or past the limit."""
    unknown = Resolver(FakeDirectory({"classify": FakeService([], known=False)}))
    unlisted = Resolver(FakeDirectory({}, ready=False))
    full = Resolver(FakeDirectory({}, unfollowed=frozenset({"classify"})))
    for resolver in (unknown, unlisted, full):
        answer = ask(resolver, "classify.service.consul", "A")
        assert answer.rcode() == dns.rcode.SERVFAIL
        assert not answer.authority


def test_only_an_unknown_service_is_waited_for() -> None:
    """`awaited_service` names the service whose first answer is to be awaited, and nothing for any other question."""
    new = FakeService([], known=False)
    resolver = Resolver(FakeDirectory({"new": new, "old": FakeService([worker(1)])}))

    def awaited(name: str) -> FollowedService | None:
        query = read(dns.message.make_query(name, "A").to_wire())
        assert isinstance(query, Query)
        return resolver.awaited_service(query)

    assert awaited("NEW.service.consul") is new
    assert [awaited(n) for n in ("old.service.consul", "none.service.consul", "consul", "example.com")] == [None] * 4


def test_the_datacenters_name_can_be_learned_later() -> None:
    """Once it is known, names with it are answered, SRV records point into it, and `dc1` is nowhere."""
    resolver = resolver_of(worker(1))
    resolver.datacenter = "Berlin"
    assert data(ask(resolver, "classify.service.berlin.consul").answer) == ["1 1 9001 0a000002.addr.Berlin.consul."]
    assert ask(resolver, "classify.service.dc1.consul").rcode() == dns.rcode.NXDOMAIN


def test_equal_records_stand_once() -> None:
    """Workers that share an address have one A record; those that share a port, too, have one SRV record."""
    workers = [worker(1, "10.0.0.1", port=1), worker(2, "10.0.0.1", port=2), worker(3, "10.0.0.1", port=2)]
    resolver = resolver_of(*workers)
    assert data(ask(resolver, "classify.service.consul", "A").answer) == ["10.0.0.1"]
    answer = ask(resolver, "classify.service.consul")
    assert sorted(data(answer.answer)) == [f"1 1 {port} 0a000001.addr.dc1.consul." for port in (1, 2)]
    assert len(answer.additional) == 1


def test_a_weight_beyond_16_bits_is_the_most_there_is() -> None:
    """SRV weights end at 65535."""
    answer = ask(resolver_of(worker(1, weight=1_000_000)), "classify.service.consul")
    assert data(answer.answer) == ["1 65535 9001 0a000002.addr.dc1.consul."]


@pytest.mark.parametrize(("edns_bytes", "most"), [(None, 512), (100, 512), (512, 512), (900, 900), (4096, 1232)])
@pytest.mark.parametrize("kind", ["SRV", "A"])
def test_what_does_not_fit_is_truncated(kind: str, edns_bytes: int | None, most: int) -> None:
    """Over UDP an answer about too many workers fills the size there is, begins in rotation order, and has TC."""
    resolver = resolver_of(*(worker(n) for n in range(300)))
    answer = ask(resolver, "classify.service.consul", kind, edns_bytes=edns_bytes)
    assert answer.flags & dns.flags.TC
    assert most - 50 <= len(answer.wire or b"") <= most
    ports = [int(text.split()[2]) for text in data(answer.answer)] if kind == "SRV" else None
    if ports:
        assert [(port - ports[0]) % 300 for port in ports] == list(range(len(ports)))


def test_over_tcp_an_answer_is_never_marked_as_truncated() -> None:
    """Small sets are whole over TCP; of a large one the next hundred are named, and there is no TC to act on."""
    for count in (30, 3000):
        resolver = resolver_of(*(worker(n) for n in range(count)))
        for kind in ("SRV", "A"):
            answer = ask(resolver, "classify.service.consul", kind, over_tcp=True)
            assert len(answer.answer) == min(count, TCP_RECORDS_AT_MOST)
            assert not answer.flags & dns.flags.TC


def test_long_names_over_tcp_fit() -> None:
    """A hundred workers with the longest names there can be: no TC over TCP, either."""
    longest = ".".join(["x" * 63] * 3 + ["y" * 50])
    resolver = resolver_of(*(worker(n, f"{n:03}.{longest}") for n in range(TCP_RECORDS_AT_MOST)))
    answer = ask(resolver, "classify.service.consul", over_tcp=True)
    assert len(answer.answer) == TCP_RECORDS_AT_MOST
    assert not answer.flags & dns.flags.TC


def test_workers_beyond_those_looked_at_are_not_denied() -> None:
    """Where not all workers were looked at, an answer over UDP is marked as a part, however few its records."""
    for count, partial in ((WORKERS_AT_MOST, False), (WORKERS_AT_MOST + 1, True)):
        answer = ask(resolver_of(*(worker(n, "10.0.0.1") for n in range(count))), "classify.service.consul", "A")
        assert data(answer.answer) == ["10.0.0.1"]
        assert bool(answer.flags & dns.flags.TC) == partial


def test_additional_records_are_left_off_in_silence() -> None:
    """Where all SRV records fit and their addresses do not, nothing is missing that was asked for: no TC."""
    answer = ask(resolver_of(*(worker(n) for n in range(10))), "classify.service.consul")
    assert len(answer.answer) == 10
    assert len(answer.additional) < 10
    assert not answer.flags & dns.flags.TC


def test_edns_is_answered_with_edns() -> None:
    """A query with OPT gets one back with our size and its DO bit; one without gets none."""
    resolver = resolver_of(worker(1))
    query = dns.message.make_query("classify.service.consul", "A", use_edns=0, payload=4096, want_dnssec=True)
    answer = dns.message.from_wire(answer_to(resolver, query.to_wire()) or b"")
    assert (answer.edns, answer.payload, answer.ednsflags) == (0, 1232, dns.flags.DO)
    assert ask(resolver, "classify.service.consul").edns == -1


def test_an_unknown_edns_version_is_badvers() -> None:
    """EDNS 1: BADVERS, and the version that we speak (RFC 6891, 6.1.3)."""
    query = dns.message.make_query("classify.service.consul", "A")
    query.use_edns(1)
    answer = dns.message.from_wire(answer_to(resolver_of(worker(1)), query.to_wire()) or b"")
    assert (answer.rcode(), answer.edns) == (dns.rcode.BADVERS, 0)


names = st.lists(st.binary(min_size=1, max_size=63), max_size=3).map(
    lambda labels: dns.name.Name((*labels, b"service", b"consul", b""))
)
hosts = st.one_of(st.ip_addresses().map(str), st.text(max_size=80), st.just("gpu.example.com"))


@given(
    fleet=st.lists(st.tuples(hosts, st.integers(1, 65535), st.integers(1, 10**6)), max_size=60),
    kind=st.sampled_from(["SRV", "A", "AAAA", "ANY", "CNAME", "TXT"]),
    edns_bytes=st.none() | st.integers(0, 65535),
    over_tcp=st.booleans(),
)
def test_any_fleet_can_be_answered(
    fleet: list[tuple[str, int, int]], kind: str, edns_bytes: int | None, over_tcp: bool
) -> None:
    """Whatever hosts, ports and weights were registered, the answer is well-formed and within its size."""
    workers = [worker(n, host, port=port, weight=weight) for n, (host, port, weight) in enumerate(fleet)]
    answer = ask(resolver_of(*workers), "classify.service.consul", kind, edns_bytes=edns_bytes, over_tcp=over_tcp)
    assert answer.rcode() == (dns.rcode.NOERROR if workers else dns.rcode.NXDOMAIN)
    assert bool(answer.answer) != has_soa(answer)
    allowed = {"ANY": {"A", "AAAA", "CNAME"}, "SRV": {"SRV"}, "TXT": set()}.get(kind, {kind, "CNAME"})
    assert {dns.rdatatype.to_text(r.rdtype) for r in answer.answer} <= allowed


@given(address=st.ip_addresses(), datacenter=st.sampled_from(["dc1", "Berlin"]))
def test_every_srv_target_resolves_here(address: object, datacenter: str) -> None:
    """The name in an SRV record, asked of us, is the address that came with it."""
    resolver = resolver_of(worker(1, str(address)))
    resolver.datacenter = datacenter
    answer = ask(resolver, "classify.service.consul")
    (srv,), (extra,) = answer.answer, answer.additional
    again = ask(resolver, srv[0].to_text().split()[3], dns.rdatatype.to_text(extra.rdtype))
    assert texts(again.answer) == texts(answer.additional)


@given(name=names, kind=st.integers(0, 65535), rdclass=st.integers(0, 65535))
def test_any_question_can_be_answered(name: dns.name.Name, kind: int, rdclass: int) -> None:
    """Whatever the labels, the type and the class: an answer that its client can read."""
    query = dns.message.make_query(name, dns.rdatatype.RdataType.make(kind), dns.rdataclass.RdataClass.make(rdclass))
    wire = answer_to(resolver_of(worker(1)), query.to_wire())
    assert wire is not None
    assert query.is_response(dns.message.from_wire(wire))


@given(wire=st.binary(max_size=300))
def test_any_bytes_can_be_read(wire: bytes) -> None:
    """Whatever arrives, nothing breaks: an answer with the same id, or none."""
    answer = answer_to(resolver_of(worker(1)), wire)
    if answer is not None:
        assert answer[:2] == wire[:2]
        assert dns.message.from_wire(answer).flags & dns.flags.QR
