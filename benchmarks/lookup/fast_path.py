"""Measures the lookup service's fast path in process: processor time per lookup, and memory kept for request texts.

    python -m benchmarks.lookup.fast_path [--workers 1000] [--texts 4000]

`LookupConnection` is fed the bytes of requests and writes to a transport that only counts; no socket is involved.
Lookups are traced where OpenTelemetry's variables say so, as in `p2p registry`.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import statistics
import time
import tracemalloc
from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import web

from registry.backend.health_answer import HealthAnswer
from registry.consul.catalog import Catalog
from registry.discovery.directory import Directory
from registry.instances.instance import Instance
from registry.lookup.connection import LookupConnection
from registry.lookup.fast_path import FastPath
from registry.lookup.routes import build_app
from registry.runtime.connections.open_connections import Connections
from registry.runtime.tracing.setup import exporting_traces

BLOCKS, LOOKUPS_A_BLOCK = 15, 100_000


class FixedCatalog:
    """A Consul in which one service has `workers` workers for ever."""

    product = Catalog.product
    own_services = Catalog.own_services
    hint = Catalog.hint

    def __init__(self, workers: int) -> None:
        self._instances = tuple(
            Instance("classify", f"w{i:05}", f"10.0.{i // 250}.{i % 250}", 9001, version="3", boot=f"b{i}")
            for i in range(workers)
        )

    async def services(self, *, index: int = 0) -> tuple[int, Mapping[str, frozenset[str]]]:
        if index:
            await asyncio.Event().wait()
        return 1, {"classify": frozenset({"p2p"}), "consul": frozenset()}

    async def health(self, service: str, *, index: int = 0, wait_s: float = 0) -> HealthAnswer:
        if index:
            await asyncio.Event().wait()
        return HealthAnswer(1, self._instances)


class CountingTransport(asyncio.Transport):
    """A connection to 127.0.0.1 that takes everything and sends nothing."""

    written_bytes = 0

    def write(self, data: Any) -> None:
        self.written_bytes += len(data)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("127.0.0.1", 12480) if name == "sockname" else default

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        return

    def is_closing(self) -> bool:
        return False

    def close(self) -> None:
        return


def request(number: int) -> bytes:
    return f"GET /next HTTP/1.1\r\nHost: localhost:12480\r\nUser-Agent: client/{number}\r\n\r\n".encode()


def processor_s(protocol: LookupConnection, texts: Sequence[bytes], lookups: int) -> float:
    """Processor time of one lookup, on average over `lookups`."""
    began_s = time.process_time()
    for _ in range(lookups // len(texts)):
        for text in texts:
            protocol.data_received(text)
    return (time.process_time() - began_s) / (lookups // len(texts) * len(texts))


def kept_bytes(protocol: LookupConnection, texts: int, workers: int) -> int:
    """What stays in memory after each of so many different texts was answered with every worker once."""
    gc.collect()
    tracemalloc.start()
    for number in range(texts):
        text = request(1000 + number)
        for _ in range(workers):
            protocol.data_received(text)
    gc.collect()
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return kept


async def measure(workers: int, texts: int) -> None:
    async with (
        Directory(FixedCatalog(workers), default="classify") as directory,  # type: ignore[arg-type]  # a fake
        exporting_traces("benchmark") as tracing,
    ):
        service = directory.followed("classify")
        assert service is not None
        await service.wait_until_known()
        fast = FastPath(directory, tracing=tracing)
        runner = web.AppRunner(build_app(directory, fast), access_log=None)
        await runner.setup()
        assert runner.server is not None
        protocol = LookupConnection(runner.server, fast, Connections(at_most=1), access_log=None)
        protocol.connection_made(CountingTransport())
        await asyncio.sleep(0)
        usual = [request(number) for number in range(16)]
        processor_s(protocol, usual, LOOKUPS_A_BLOCK // 5)
        times_us = [processor_s(protocol, usual, LOOKUPS_A_BLOCK) * 1e6 for _ in range(BLOCKS)]
        print(f"{statistics.median(times_us):.3f} us of processor time per lookup (least {min(times_us):.3f})")
        kept_mb = kept_bytes(protocol, texts, workers) / 1e6
        print(f"{kept_mb:.1f} MB kept for {texts} request texts and {workers} workers")
        protocol.connection_lost(None)
        await runner.cleanup()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--workers", type=int, default=1000)
    parser.add_argument("--texts", type=int, default=4000)
    options = parser.parse_args()
    asyncio.run(measure(options.workers, options.texts))


if __name__ == "__main__":
    main()
