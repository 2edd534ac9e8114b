"""The deployment that is attacked: an agent, a relay before it, a lookup service with DNS, a proxy, and workers."""

from __future__ import annotations

import asyncio
import os
import resource
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from benchmarks.attack.targets import CROWD, CROWD_INSTANCES, SERVICE, Targets
from benchmarks.harness.consul import register
from benchmarks.harness.p2p import ROOT, Running, agent, lookup_service, proxy, wait_for_workers, worker
from benchmarks.harness.processes import free_ports, get, server

TOKEN = "token-that-no-stranger-may-see"

OPEN_FILES = (1024, 2048)
"""The limits of open files, soft and hard, of all processes: few enough that an attacker can reach them."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """Running processes: `processes` are those whose memory is looked at, by name."""

    targets: Targets
    processes: dict[str, int]


@contextmanager
def deployment(*, workers: int, engine: str) -> Iterator[Deployment]:
    """A deployment of so many workers, whose default model runs in `engine`, all of which the lookup service knows."""
    os.environ["CONSUL_HTTP_TOKEN"] = TOKEN
    resource.setrlimit(resource.RLIMIT_NOFILE, OPEN_FILES)
    dns, relay = free_ports(2)
    with ExitStack() as stack:
        consul = stack.enter_context(agent(core=None))
        command = [sys.executable, "-m", "benchmarks.attack.relay", str(relay), str(consul.port)]
        stack.enter_context(server(command, core=None, folder=ROOT))
        asyncio.run(register(consul.url, CROWD, crowd_addresses()))
        relay_url = f"http://127.0.0.1:{relay}"
        get(f"{relay_url}/v1/status/leader")
        lookup = stack.enter_context(lookup_service(relay_url, "--dns-port", str(dns), core=None))
        serving = started_workers(stack, relay_url, workers, engine)
        forwarding = stack.enter_context(proxy(relay_url, core=None))
        wait_for_workers(lookup.url, {SERVICE: workers, CROWD: CROWD_INSTANCES})
        targets = Targets(
            agent=consul.port,
            relay=relay,
            lookup=lookup.port,
            dns=dns,
            proxy=forwarding.port,
            workers=tuple(each.port for each in serving),
        )
        named = {"agent": consul, "lookup service": lookup, "proxy": forwarding}
        named |= {f"worker {number}": each for number, each in enumerate(serving, 1)}
        yield Deployment(targets, {name: running.pid for name, running in named.items()})


def started_workers(stack: ExitStack, consul_url: str, count: int, engine: str) -> Sequence[Running]:
    """Start workers one after the other; `stack` ends them."""
    return [stack.enter_context(worker(consul_url, engine=engine, core=None)) for _ in range(count)]


def crowd_addresses() -> list[tuple[str, int]]:
    """The addresses of the CROWD's instances, at which nobody listens."""
    return [(f"10.1.{number // 250}.{number % 250 + 1}", 9000) for number in range(CROWD_INSTANCES)]
