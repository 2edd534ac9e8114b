"""What Consul's answers about health mean: a table that both of its readers, registry and p2pclient, are tested with.

Each case is the JSON of a 200 of `/v1/health/service/NAME` as far as it matters, and the instances that it stands for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

HEADERS = {"X-Consul-Index": "7", "X-Consul-KnownLeader": "true", "X-Consul-LastContact": "0"}


@dataclass(frozen=True)
class Expected:
    """An instance as it must be read; `handed_out`: whether it gets requests, this being Consul's first answer."""

    id: str = "web-1"
    host: str = "10.0.0.1"
    port: int = 9001
    weight: int = 1
    health: str = "passing"
    version: str = ""
    boot: str = ""
    tags: tuple[str, ...] = ()
    output: str = ""
    handed_out: bool = True
    scheme: str = "http"
    auth: str = "none"


@dataclass(frozen=True)
class Case:
    """`instances` None: the answer is malformed and changes nothing."""

    what: str
    entries: Any
    instances: tuple[Expected, ...] | None


@dataclass(frozen=True)
class HeaderCase:
    """The headers of an answer, and what they say of it; `index` None: malformed."""

    what: str
    headers: Mapping[str, str]
    index: int | None
    current: bool = True


def entry(*checks: Mapping[str, Any], node: Any = None, **service: Any) -> dict[str, Any]:
    """One entry of the list; a keyword replaces a field of the service, `...` leaves it out."""
    fields = {"ID": "web-1", "Service": "web", "Address": "10.0.0.1", "Port": 9001} | service
    return {
        "Node": {"Node": "host-a", "Address": "10.0.0.200"} if node is None else node,
        "Service": {key: value for key, value in fields.items() if value is not ...},
        "Checks": list(checks),
    }


def check(status: str, check_id: str = "web-1:http") -> dict[str, str]:
    return {"CheckID": check_id, "Status": status}


PASSING, WARNING, CRITICAL = check("passing"), check("warning"), check("critical", "web-1:ttl")
SERVICE_MAINTENANCE = check("critical", "_service_maintenance:web-1")
NODE_MAINTENANCE = check("critical", "_node_maintenance")
OTHERS_MAINTENANCE = check("passing", "_service_maintenance:web-2")
FULL = {
    "Meta": {"version": "3", "boot": "b1", "model": "m"},
    "Tags": ["p2p", "gpu"],
    "Weights": {"Passing": 4, "Warning": 2},
}

CASES = (
    Case("no instances", [], ()),
    Case("all fields", [entry(PASSING, **FULL)], (Expected(weight=4, version="3", boot="b1", tags=("p2p", "gpu")),)),
    Case("fields left out", [entry()], (Expected(),)),
    Case("fields null", [entry(Meta=None, Tags=None, Weights=None)], (Expected(),)),
    Case("tags and meta that are no texts",
         [entry(Tags=[5, None, ["x"], "gpu"], Meta={"version": 7, "boot": [1], "x": {"y": 1}})],
         (Expected(tags=("gpu",)),)),
    Case("tags that are no list", [entry(Tags="gpu")], (Expected(),)),
    Case("checks left out", [entry() | {"Checks": None}], (Expected(),)),
    Case("values null", [entry(Meta={"version": None, "boot": None}, Weights={"Passing": None})], (Expected(),)),
    Case("another weight than passing", [entry(PASSING, Weights={"Warning": 9})], (Expected(),)),
    Case("weight 0", [entry(PASSING, Weights={"Passing": 0, "Warning": 0})], (Expected(),)),
    Case("weight below 0", [entry(PASSING, Weights={"Passing": -3})], (Expected(),)),
    Case("weight that is no number", [entry(PASSING, Weights={"Passing": "4"})], (Expected(),)),
    Case("warning weight", [entry(PASSING, WARNING, **FULL)],
         (Expected(weight=2, health="warning", version="3", boot="b1", tags=("p2p", "gpu")),)),
    Case("warning weight 0", [entry(WARNING, Weights={"Passing": 4, "Warning": 0})], (Expected(health="warning"),)),
    Case("warning without a weight of its own", [entry(WARNING, Weights={"Passing": 4})],
         (Expected(health="warning"),)),
    Case("the worst check counts", [entry(PASSING, WARNING, CRITICAL)],
         (Expected(health="critical", handed_out=False),)),
    Case("critical, and the weight of passing", [entry(CRITICAL, Weights={"Passing": 4, "Warning": 2})],
         (Expected(health="critical", weight=4, handed_out=False),)),
    Case("maintenance of the service", [entry(PASSING, SERVICE_MAINTENANCE)],
         (Expected(health="maintenance", handed_out=False),)),
    Case("maintenance of the node", [entry(PASSING, NODE_MAINTENANCE)],
         (Expected(health="maintenance", handed_out=False),)),
    Case("maintenance of another service on the node", [entry(OTHERS_MAINTENANCE)], (Expected(),)),
    Case("what the worst check says",
         [entry(PASSING | {"Output": "fine"}, WARNING | {"Output": "full"}, CRITICAL | {"Output": "refused\n\x1b[2J"})],
         (Expected(health="critical", output="refused\n\x1b[2J", handed_out=False),)),
    Case("the first of the worst checks says it",
         [entry(CRITICAL | {"Output": "first"}, check("critical") | {"Output": "second"})],
         (Expected(health="critical", output="first", handed_out=False),)),
    Case("a passing check says nothing", [entry(PASSING | {"Output": "fine"})], (Expected(),)),
    Case("the operator's reason", [entry(SERVICE_MAINTENANCE | {"Notes": "a new disk", "Output": "x"})],
         (Expected(health="maintenance", output="a new disk", handed_out=False),)),
    Case("output that is no text", [entry(CRITICAL | {"Output": ["refused"]})],
         (Expected(health="critical", handed_out=False),)),
    Case("output beyond what an agent keeps", [entry(CRITICAL | {"Output": "x" * 5000})],
         (Expected(health="critical", output="x" * 4096, handed_out=False),)),
    Case("a status nobody knows", [entry(check("odd"))], (Expected(),)),
    Case("the node's address for want of its own", [entry(Address="")], (Expected(host="10.0.0.200"),)),
    Case("the node's address where none is given", [entry(Address=...)], (Expected(host="10.0.0.200"),)),
    Case("a host name", [entry(Address="gpu_1.example.com")], (Expected(host="gpu_1.example.com"),)),
    Case("an IPv6 address", [entry(Address="fd00::1")], (Expected(host="fd00::1"),)),
    Case("no address at all", [entry(Address="", node={"Node": "host-a", "Address": ""})], ()),
    Case("a host with an empty label", [entry(Address="foo..bar")], ()),
    Case("a host with a blank", [entry(Address="foo bar")], ()),
    Case("a host that is a URL", [entry(Address="http://foo/")], ()),
    Case("a host with a line end", [entry(Address="10.0.0.1\r\nX: y")], ()),
    Case("a boot id that no header can carry", [entry(Meta={"boot": "a\r\nX: y"})], ()),
    Case("one that cannot be used beside one that can", [entry(ID="web-0", Meta={"boot": "a b"}), entry()],
         (Expected(),)),
    Case("one that speaks TLS and wants tickets", [entry(Meta={"scheme": "https", "auth": "ticket"})],
         (Expected(scheme="https", auth="ticket"),)),
    Case("one that wants tokens", [entry(Meta={"auth": "token"})], (Expected(auth="token"),)),
    Case("a scheme and a way to ask that nobody knows", [entry(Meta={"scheme": "ftp://", "auth": "magic"})],
         (Expected(),)),
    Case("a scheme and a way to ask that are null", [entry(Meta={"scheme": None, "auth": None})], (Expected(),)),
    Case("port 0", [entry(Port=0)], ()),
    Case("no port", [entry(Port=...)], ()),
    Case("a port that is true", [entry(Port=True)], ()),
    Case("an id of 1 MB beside another", [entry(ID="w" * 2**20), entry()], (Expected(),)),
    Case("a version of 1 MB", [entry(Meta={"version": "1" * 2**20})], ()),
    Case("port null", [entry(Port=None)], ()),
    Case("a port beyond 65535", [entry(Port=70000)], ()),
    Case("a port below 0", [entry(Port=-1)], ()),
    Case("one without a port beside one with", [entry(ID="web-0", Port=0), entry()], (Expected(),)),
    Case("two nodes with the same id",
         [entry(), entry(node={"Node": "host-b", "Address": "10.0.0.201"}, Address="")],
         (Expected(), Expected(id="web-1@host-b", host="10.0.0.201"))),
    Case("sorted by id", [entry(ID="web-2", Port=9002), entry()], (Expected(), Expected(id="web-2", port=9002))),
    Case("an entry without a service", [entry(), {"Node": {"Node": "a", "Address": "10.0.0.1"}}], None),
    Case("an entry without a node", [{"Service": entry()["Service"], "Checks": []}], None),
    Case("an entry without an id", [entry(ID=...)], None),
    Case("an entry that is null", [entry(), None], None),
    Case("a service that is null", [{"Service": None, "Node": {"Node": "a", "Address": ""}}], None),
    Case("a check without a status", [entry({"CheckID": "web-1:http"})], None),
    Case("an address that is a number", [entry(Address=10)], None),
    Case("meta that is a list", [entry(Meta=["version"])], None),
    Case("null", None, None),
    Case("an object", {"not": "a list"}, None),
    Case("a number", 7, None),
)  # fmt: skip

HEADER_CASES = (
    HeaderCase("all sound", HEADERS, 7),
    HeaderCase("only an index", {"X-Consul-Index": "100"}, 100),
    HeaderCase("no index", {"X-Consul-KnownLeader": "true"}, None),
    HeaderCase("an index that is no number", HEADERS | {"X-Consul-Index": "x"}, None),
    HeaderCase("no leader", HEADERS | {"X-Consul-KnownLeader": "false"}, 7, current=False),
    HeaderCase("heard of the leader 10 s ago", HEADERS | {"X-Consul-LastContact": "10000"}, 7),
    HeaderCase("not heard of the leader for longer", HEADERS | {"X-Consul-LastContact": "10001"}, 7, current=False),
    HeaderCase("an empty time of contact", HEADERS | {"X-Consul-LastContact": ""}, 7),
    HeaderCase("a time of contact that is no number", HEADERS | {"X-Consul-LastContact": "x"}, None),
)
