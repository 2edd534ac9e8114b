"""Registrations that Consul accepts and no client can use, beside the workers of the same service."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from urllib.request import urlopen

from benchmarks.attack.kinds.sending import HOST, exchange, paced, put_json
from benchmarks.attack.targets import SERVICE, Findings, Targets

_PER_S = 5.0

UNUSABLE: Mapping[str, Mapping[str, object]] = {
    "an address in brackets": {"Address": "[::1]"},
    "a URL": {"Address": "http://10.0.0.5"},
    "a space": {"Address": "a b"},
    "a line end": {"Address": "127.0.0.1\r\nX-Evil: 1"},
    "a NUL": {"Address": "a\0b"},
    "a host of 300 characters": {"Address": "a" * 300},
    "a port of 70,000": {"Port": 70_000},
    "a negative port": {"Port": -1},
    "a line end in the boot id": {"Meta": {"boot": "b\r\nX-Evil: 1"}},
    "a control character in the version": {"Meta": {"version": "\x1b[2J"}},
}


async def register_unusable(targets: Targets, findings: Findings) -> None:
    """Register and deregister each of UNUSABLE again and again; the lookup service must name none of them."""
    names = list(UNUSABLE)
    async for number in paced(_PER_S):
        name = names[number % len(names)]
        identity = f"odd-{number % len(names)}"
        if number % len(names) == 0:
            await asyncio.to_thread(_expect_left_out, targets, findings)
        if number // len(names) % 2:
            await exchange(targets.agent, put_json(f"/v1/agent/service/deregister/{identity}", ""))
            continue
        fields = {"Name": SERVICE, "ID": identity, "Address": HOST, "Port": 9, "Tags": ["p2p"], **UNUSABLE[name]}
        status = await exchange(targets.agent, put_json("/v1/agent/service/register", json.dumps(fields)))
        findings.outcomes[f"registered: {status}"] += 1


def _expect_left_out(targets: Targets, findings: Findings) -> None:
    """The lookup service names its workers, and none of the unusable registrations among them."""
    with urlopen(f"http://{HOST}:{targets.lookup}/instances/{SERVICE}") as answer:
        listing = json.load(answer)
    named = {instance["id"] for instance in listing["instances"]}
    findings.outcomes["left out"] = max(findings.outcomes["left out"], len(listing.get("unusable", ())))
    findings.expect(not any(name.startswith("odd-") for name in named), "an unusable registration was named")
    findings.expect(len(named) == len(targets.workers), f"{len(named)} of {len(targets.workers)} workers were named")
