"""How exactly and how soon lookups follow a split among versions, and what a split costs a lookup.

    python -m benchmarks.lookup.split [--changes 200] [--lookups 100000]

On a real Consul two workers of version 3 and two of version 4 are registered. First 1,000 lookups are counted under
the split 90 to 10. Then all calls are sent to the one version and to the other in turn, and the time runs from sending
the record to Consul until an answer that follows it has arrived: of `/next`, of the 307, of DNS, of a long poll of
`/instances`, and until a client that watches the lookup service, or Consul itself, has it. Consul keeps its data in
/dev/shm where there is one: it writes each change through to the disk, and a busy disk would be measured. Last, the
processor time of one step of a rotation is taken with a split and without one.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path

import aiohttp
import dns.asyncquery
import dns.message
import dns.rdatatype

from benchmarks.harness.consul import real_consul, register
from benchmarks.harness.p2p import lookup_service
from benchmarks.harness.processes import free_port
from benchmarks.harness.summary import percentile, spread_table
from p2pclient import AsyncClient
from registry.consul.key_value import KeyValue
from registry.consul.settings import ConsulSettings
from registry.discovery.rotations.rotation import Rotation
from registry.discovery.rotations.split_rotation import SplitRotation
from registry.instances.instance import Instance
from registry.rollout.record import Rollout, key_of, written

SERVICE = "split"
PORTS = {"3": (9003, 9013), "4": (9004, 9014)}
EXACT = 1000
CHANGES_P99_MS = 50.0
MEMORY = Path("/dev/shm")
WITHIN_S = 30.0
BLOCKS = 9

Shown = Callable[[], Awaitable[str]]
"""Asks once; the version of the worker that is named."""


def version_at(port: int) -> str:
    """The version of the worker that is registered at this port."""
    return next(version for version, ports in PORTS.items() if port in ports)


class Asker:
    """The ways to ask one lookup service, each of which names a version."""

    def __init__(self, http: aiohttp.ClientSession, url: str, dns_port: int) -> None:
        self._http = http
        self._url = url
        self._dns_port = dns_port

    async def next(self) -> str:
        async with self._http.get(f"{self._url}/next") as answer:
            return version_at(int((await answer.text()).strip().rpartition(":")[2]))

    async def redirect(self) -> str:
        async with self._http.post(f"{self._url}/", allow_redirects=False) as answer:
            return version_at(int(answer.headers["Location"].rstrip("/").rpartition(":")[2]))

    async def dns(self) -> str:
        query = dns.message.make_query(f"{SERVICE}.service.consul.", dns.rdatatype.SRV)
        answer = await dns.asyncquery.udp(query, "127.0.0.1", port=self._dns_port, timeout=5)
        return version_at(next(record.port for rrset in answer.answer for record in rrset))

    async def poll(self, index: int) -> tuple[int, str]:
        """One long poll: the new index and the version with all calls."""
        async with self._http.get(f"{self._url}/instances/{SERVICE}?index={index}&wait=30s") as answer:
            said = await answer.json()
        return said["index"], next(iter(said.get("rollout", {"shares": {"": 1}})["shares"]))


def shown_by(client: AsyncClient) -> Shown:
    """Asks what a client has by now."""

    async def shown() -> str:
        rollout = (await client.workers(SERVICE)).rollout
        return "" if rollout is None else next(iter(rollout.shares))

    return shown


async def time_asking(store: KeyValue, ask: Shown, *, changes: int) -> list[float]:
    """Milliseconds from sending each change to the first of the answers, which come one after the other, with it."""
    measured = []
    for number in range(changes):
        version = "34"[number % 2]
        await asyncio.sleep(random.uniform(0.1, 0.2))
        began_s = time.perf_counter()
        await store.put(key_of(SERVICE), written(Rollout({version: 1})))
        async with asyncio.timeout(WITHIN_S):
            while await ask() != version:  # noqa: ASYNC110 - the answer itself is measured
                await asyncio.sleep(0.0005)
        measured.append((time.perf_counter() - began_s) * 1000)
    return measured


async def time_polling(store: KeyValue, asker: Asker, *, changes: int) -> list[float]:
    """The same for a long poll that waits when the change is sent."""
    measured = []
    index, _ = await asker.poll(0)
    for number in range(changes):
        version = "34"[number % 2]
        poll = asyncio.create_task(asker.poll(index))
        await asyncio.sleep(random.uniform(0.1, 0.2))
        began_s = time.perf_counter()
        await store.put(key_of(SERVICE), written(Rollout({version: 1})))
        async with asyncio.timeout(WITHIN_S):
            index, shown = await poll
            while shown != version:
                index, shown = await asker.poll(index)
        measured.append((time.perf_counter() - began_s) * 1000)
    return measured


async def measure(consul: str, url: str, dns_port: int, *, changes: int) -> tuple[Counter[str], dict[str, list[float]]]:
    """Which versions 1,000 lookups named, and the milliseconds of changes by the way to ask."""
    store = KeyValue(ConsulSettings(url=consul))
    async with (
        aiohttp.ClientSession() as http,
        AsyncClient(url, service=SERVICE) as client,
        AsyncClient(consul.replace("http", "consul", 1), service=SERVICE) as client_at_consul,
    ):
        asker = Asker(http, url, dns_port)
        await store.put(key_of(SERVICE), written(Rollout({"3": 90, "4": 10})))
        while (await asker.poll(0))[1] != "3":  # noqa: ASYNC110 - the lookup service has no event for it
            await asyncio.sleep(0.01)
        named = Counter([await asker.next() for _ in range(EXACT)])
        await store.put(key_of(SERVICE), written(Rollout({"4": 1})))
        ways: dict[str, Shown] = {
            "`GET /next`": asker.next,
            "307": asker.redirect,
            "DNS": asker.dns,
            "p2pclient's list": shown_by(client),
            "p2pclient's list, from Consul itself": shown_by(client_at_consul),
        }
        measured = {name: await time_asking(store, ask, changes=changes) for name, ask in ways.items()}
        measured["long poll of `/instances`"] = await time_polling(store, asker, changes=changes)
    await store.close()
    return named, measured


def step_us(rotation: Rotation | SplitRotation, lookups: int) -> float:
    """Processor time of one step in microseconds: the median of several blocks."""
    times_us = []
    for _ in range(BLOCKS):
        began_s = time.process_time()
        for _ in range(lookups):
            rotation.next()
        times_us.append((time.process_time() - began_s) / lookups * 1e6)
    return statistics.median(times_us)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--changes", type=int, default=200)
    parser.add_argument("--lookups", type=int, default=100_000, help="steps of a rotation in a block")
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None)))
        consul = stack.enter_context(real_consul(folder)).url
        for version, ports in PORTS.items():
            addresses = [("127.0.0.1", port) for port in ports]
            asyncio.run(register(consul, SERVICE, addresses, meta={"version": version}))
        dns_port = free_port()
        flags = ("--service", SERVICE, "--dns-port", str(dns_port))
        lookup = stack.enter_context(lookup_service(consul, *flags, knows={SERVICE: 4}))
        named, changes = asyncio.run(measure(consul, lookup.url, dns_port, changes=options.changes))
        print(f"load average {os.getloadavg()[0]:.1f}", file=sys.stderr)
    print(f"Of {EXACT} lookups under the split 3=90 4=10: {dict(named)}\n")
    print(spread_table(changes, unit="ms"), end="\n\n")
    instances = [Instance(SERVICE, f"w{n}", "127.0.0.1", n, version="34"[n % 2]) for n in range(20)]
    plain, split = Rotation(instances), SplitRotation(Rollout({"3": 90, "4": 10}), instances)
    print(f"One step of a rotation: {step_us(plain, options.lookups):.3f} us without a split, ", end="")
    print(f"{step_us(split, options.lookups):.3f} us with one")
    slow = [name for name, values in changes.items() if percentile(values, 0.99) >= CHANGES_P99_MS]
    if slow or abs(named["4"] - EXACT // 10) > 1:
        sys.exit(f"Wanted: shares exact within 1 of {EXACT}, changes under {CHANGES_P99_MS:g} ms (p99); not {slow}.")


if __name__ == "__main__":
    main()
