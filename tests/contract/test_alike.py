"""Both agents asked the same, answer by answer: after names, ids and indexes are masked nothing may differ.

This finds what no other test thought of asking.
"""

from __future__ import annotations

import json
import re
from typing import Any

import aiohttp

from tests.contract.conftest import Api, Consul

MASKED = {"ID": "NodeID", "CreateIndex": 0, "ModifyIndex": 0, "ContentHash": "#"}
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
HEADERS = (
    "Content-Type", "Allow", "Location", "X-Consul-KnownLeader", "X-Consul-LastContact", "X-Consul-Reason",
    "X-Consul-Effective-Consistency", "Content-Security-Policy", "X-Content-Type-Options",
)  # fmt: skip
TTL = {"TTL": "1h"}

STEPS: list[tuple[str, str, object]] = [
    ("PUT", "agent/service/register", {"Name": "like", "ID": "like-1", "Port": 1, "Tags": ["a"], "Check": TTL}),
    ("PUT", "agent/service/register", {
        "Name": "like", "ID": "like-2", "Address": "::1", "Port": 2, "Meta": {"m": "1"}, "Weights": {"Passing": 9},
        "TaggedAddresses": {"lan": {"Address": "10.0.0.1", "Port": 3}}, "EnableTagOverride": True,
        "Check": {"CheckID": "like-own", "Name": "own", **TTL}, "Checks": [{**TTL, "Status": "warning"}, TTL],
    }),
    ("PUT", "agent/check/pass/service:like-1?note=good", None),
    ("PUT", "agent/check/register", {"ID": "like-lone", "Name": "lone", "ServiceID": "like-1", **TTL}),
    ("PUT", "agent/service/maintenance/like-2?enable=true", None),
    ("PUT", "settle", None),
    ("GET", "agent/services", None),
    ("GET", "agent/service/like-1", None),
    ("GET", "agent/checks", None),
    ("GET", "agent/health/service/id/like-2", None),
    ("GET", "agent/health/service/id/like-2?format=text", None),
    ("GET", "agent/health/service/name/none", None),
    ("GET", "agent/health/service/id/none?format=text", None),
    ("GET", "catalog/services?node-meta=no:such", None),
    ("GET", "catalog/service/like", None),
    ("GET", "catalog/service/like?tag=a", None),
    ("GET", "catalog/nodes", None),
    ("GET", "catalog/nodes?pretty", None),
    ("GET", "catalog/node/no-such-node", None),
    ("GET", "catalog/datacenters", None),
    ("GET", "health/service/like", None),
    ("GET", "health/service/like?passing&stale", None),
    ("GET", "health/service/like?node-meta=no:such", None),
    ("GET", "health/checks/like", None),
    ("GET", "health/node/no-such-node", None),
    ("GET", "health/state/maintenance", None),
    ("GET", "status/leader?pretty", None),
    ("PUT", "agent/service/deregister/like-2", None),
    ("PUT", "agent/service/register?replace-existing-checks", {"Name": "like", "ID": "like-1"}),
    ("PUT", "settle", None),
    ("GET", "health/service/like", None),
    ("PUT", "agent/service/deregister/like-1", None),
    ("PUT", "settle", None),
    ("GET", "health/service/like", None),
    ("PUT", "kv/like/a?flags=18446744073709551615", b"\x00"),
    ("PUT", "kv/like/b", b""),
    ("GET", "kv/like/a", None),
    ("GET", "kv/like/a?raw", None),
    ("GET", "kv/like/?recurse&pretty", None),
    ("GET", "kv/like?keys&separator=/", None),
    ("GET", "kv/like?recurse&keys", None),
    ("DELETE", "kv/like?recurse", None),
    ("GET", "kv/like/a", None),
    ("PUT", "catalog/register", {
        "Node": "like-node", "Address": "192.0.2.1", "TaggedAddresses": {"wan": "192.0.2.2"}, "NodeMeta": {"a": "b"},
        "Service": {"Service": "like-there", "Tags": ["x"], "TaggedAddresses": {"lan": {"Address": "l", "Port": 1}}},
        "Checks": [{"Name": "one", "ServiceID": "like-there", "Status": "passing"}, {"Name": "two", "Output": "o"}],
    }),
    ("GET", "catalog/node/like-node", None),
    ("GET", "catalog/node-services/like-node", None),
    ("GET", "catalog/service/like-there", None),
    ("GET", "health/service/like-there", None),
    ("GET", "health/service/like-there?filter=Checks.Status==passing", None),
    ("GET", "health/service/like-there?filter=Checks.Status", None),
    ("GET", "health/node/like-node", None),
    ("GET", "health/checks/like-there", None),
    ("GET", "agent/services?filter=Service==none", None),
    ("GET", "catalog/connect/like-there", None),
    ("GET", "catalog/gateway-services/like", None),
    ("GET", "health/ingress/like", None),
    ("GET", "coordinate/node/like-node", None),
    ("GET", "session/node/like-node", None),
    ("GET", "session/info/like", None),
    ("PUT", "txn", [
        {"KV": {"Verb": "set", "Key": "like/t", "Value": "aGk="}}, {"KV": {"Verb": "get-tree", "Key": "like/"}},
    ]),
    ("PUT", "txn", [
        {"KV": {"Verb": "get", "Key": "like/t"}}, {"Node": {"Verb": "get", "Node": {"Node": "like-node"}}},
    ]),
    ("PUT", "txn", [{"KV": {"Verb": "lock", "Key": "like/t"}}]),
    ("PUT", "txn?pretty", [{"KV": {"Verb": "delete-tree", "Key": "like/"}}]),
    ("PUT", "catalog/deregister", {"Node": "like-node"}),
    ("GET", "catalog/node/like-node", None),
    ("GET", "event/list?name=like", None),
    ("GET", "operator/autopilot/configuration", None),
    ("GET", "acl/tokens", None),
    ("POST", "internal/acl/authorize", [{"Resource": "node", "Access": "read"}]),
    ("GET", "discovery-chain/like", None),
    ("GET", "agent/connect/ca/roots", None),
    ("GET", "connect/ca/roots", None),
    ("OPTIONS", "session/create", None),
    ("OPTIONS", "txn", None),
    ("OPTIONS", "kv/like/a", None),
    ("OPTIONS", "agent/service/register", None),
    ("HEAD", "agent/services", None),
    ("GET", "nothing", None),
]  # fmt: skip


def masked(value: Any, node: str) -> Any:
    """The same without what may differ: the node's name and id, indexes, hashes, what other tests left behind."""
    if isinstance(value, dict):
        found = {key: masked(inner, node) for key, inner in value.items() if "svc-" not in key}
        return found | {key: MASKED[key] for key in ("CreateIndex", "ModifyIndex", "ContentHash") if key in found}
    if isinstance(value, list):
        # Consul's agent lists the checks of its own health endpoint in no order.
        checks = [inner for inner in value if isinstance(inner, dict) and "CheckID" in inner]
        return [masked(inner, node) for inner in sorted(checks, key=lambda c: str(c["CheckID"])) or value]
    if isinstance(value, str):
        return UUID.sub("UUID", re.sub(r"127\.0\.0\.1:\d+", "HOST", value)).replace(node, "NODE")
    return value


async def transcript(api: Api) -> list[tuple[object, ...]]:
    """What an agent answers to all steps."""
    node = (await api.get("agent/self")).json["Config"]["NodeName"]
    said: list[tuple[object, ...]] = []
    for method, path, body in STEPS:
        if path == "settle":
            await api.settle()
            continue
        reply = await api.ask(method, path, body)
        is_json = reply.headers.get("Content-Type") == "application/json"
        text = masked(json.loads(reply.text) if is_json and reply.text else reply.text, node)
        lines = reply.text.count("\n")
        headers = {name: reply.headers.get(name) for name in HEADERS}
        said.append((method, path, reply.status, headers, lines, text))
    return said


async def test_both_answer_alike(embedded_agent: Consul, real_consul: Consul, session: aiohttp.ClientSession) -> None:
    """The embedded agent's transcript must equal the real Consul's."""
    ours = await transcript(Api(session, embedded_agent.url))
    theirs = await transcript(Api(session, real_consul.url))
    assert ours == theirs
