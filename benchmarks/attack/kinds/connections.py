"""More connections than a server may have open: idle ones, and such that wait for changes."""

from __future__ import annotations

import asyncio

from benchmarks.attack.kinds.sending import connected, get, paced
from benchmarks.attack.targets import SERVICE, Findings, Targets

CONNECTIONS = 1900
"""Of one attacker: more than half of the files that a server may open, and as many as the attacker may."""

_PER_S = 400.0
_PAUSE_S = 5.0


def attackers(targets: Targets) -> int:
    """One attacker for each server: the lookup service, the agent, the proxy, and each worker."""
    return 3 + len(targets.workers)


async def hold_connections(targets: Targets, findings: Findings) -> None:
    """Keep CONNECTIONS open to one server: every second one waits for a change, where the server has such requests."""
    ports = (targets.lookup, targets.agent, targets.proxy, *targets.workers)
    port = ports[targets.attacker % len(ports)]
    waiting = {
        targets.lookup: get(f"/instances/{SERVICE}?wait=60s&index=1"),
        targets.agent: get(f"/v1/health/service/{SERVICE}?wait=60s&index=1"),
    }.get(port, b"")
    async with asyncio.TaskGroup() as group:
        async for number in paced(_PER_S):
            if number == CONNECTIONS:
                break
            group.create_task(_hold_again_and_again(port, waiting if number % 2 else b"", findings))


async def _hold_again_and_again(port: int, request: bytes, findings: Findings) -> None:
    """Hold a connection; when the server closes it, a new one after a pause."""
    loop = asyncio.get_running_loop()
    while True:
        try:
            async with connected(port) as made:
                findings.outcomes["connected"] += 1
                await loop.sock_sendall(made, request)
                while await loop.sock_recv(made, 4096):
                    pass
                findings.outcomes["closed"] += 1
        except OSError as error:
            findings.outcomes[type(error).__name__] += 1
        await asyncio.sleep(_PAUSE_S)
