"""Lookups of many different texts for a large service, and of more services than the lookup service may follow."""

from __future__ import annotations

import asyncio
import json

from benchmarks.attack.kinds.sending import HOST, connected, exchange, get, paced, put_json
from benchmarks.attack.targets import CROWD, CROWD_INSTANCES, Findings, Targets

SERVICES_OF_OTHERS = 1300
OURS = "brand-new"
"""A service of ours that is registered while strangers use up the room for followed services."""

_LOOKUPS_PER_S = 100.0
_AT_A_TIME = 20
"""Lookups of one text that are sent together."""

_STRANGE_LOOKUPS_PER_S = 100.0
_KNOWN_WITHIN_S = 10.0


async def look_up_with_new_texts(targets: Targets, findings: Findings) -> None:
    """Ask for a worker of CROWD with a User-Agent that is new every CROWD_INSTANCES lookups."""
    loop, sent = asyncio.get_running_loop(), 0
    while True:
        try:
            async with connected(targets.lookup) as made:
                async for _ in paced(_LOOKUPS_PER_S):
                    agent = f"User-Agent: client-{sent // CROWD_INSTANCES}"
                    await loop.sock_sendall(made, get(f"/next/{CROWD}", "Accept: application/json", agent) * _AT_A_TIME)
                    if not await loop.sock_recv(made, 1 << 16):
                        break
                    sent += _AT_A_TIME
                    findings.outcomes["lookups"] += _AT_A_TIME
        except OSError as error:
            findings.outcomes[type(error).__name__] += 1


async def look_up_services_of_others(targets: Targets, findings: Findings) -> None:
    """Register SERVICES_OF_OTHERS and look each up; then a service of ours must be known, and no answer untrue."""
    for number in range(SERVICES_OF_OTHERS):
        await _register(targets, f"svc-{number}", tags=[])
    async for number in paced(_STRANGE_LOOKUPS_PER_S):
        if number == SERVICES_OF_OTHERS:
            break
        name = f"svc-{number}"
        status = await exchange(targets.lookup, get(f"/next/{name}", "Connection: close"))
        findings.outcomes[status] += 1
        findings.expect(status in ("200", "503"), f"a lookup of {name}, which there is, was answered {status}")
    await _register(targets, OURS, tags=["p2p"])
    await _expect_known(targets, findings)


async def _register(targets: Targets, name: str, *, tags: list[str]) -> None:
    body = {"Name": name, "Address": HOST, "Port": 9, "Tags": tags}
    await exchange(targets.agent, put_json("/v1/agent/service/register", json.dumps(body)))


async def _expect_known(targets: Targets, findings: Findings) -> None:
    """A new service of ours is named soon, although strangers' services take all the room."""
    status = ""
    try:
        async with asyncio.timeout(_KNOWN_WITHIN_S):
            async for _ in paced(5.0):
                status = await exchange(targets.lookup, get(f"/next/{OURS}", "Connection: close"))
                if status == "200":
                    return
    except TimeoutError:
        findings.expect(False, f"a new service of ours was answered {status} for {_KNOWN_WITHIN_S:g} s")
