"""An agent, a lookup service and workers as processes, for as long as the client is measured."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from contextlib import ExitStack

from benchmarks.harness.consul import register
from benchmarks.harness.p2p import agent, lookup_service, wait_for_workers, worker
from benchmarks.harness.processes import free_port, server

SERVICE = "classify"


class Deployment:
    """An agent and a lookup service, to which workers are added; `stack` ends all of them.

    consul, lookup: their URLs
    """

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self.consul = stack.enter_context(agent()).url
        self.lookup = stack.enter_context(lookup_service(self.consul)).url

    def start_echo(self) -> str:
        """Start `p2p worker` with the engine that predicts nothing; its URL, once the lookup service knows it."""
        started = self._stack.enter_context(worker(self.consul, "--service", SERVICE))
        wait_for_workers(self.lookup, {SERVICE: 1})
        return started.url

    def start_sink(self) -> str:
        """Start a worker that does not look at the image; its URL, once the lookup service knows it."""
        port = free_port()
        self._stack.enter_context(server([sys.executable, "-m", "benchmarks.network.sink_server", str(port)]))
        self.register(SERVICE, [port])
        return f"http://127.0.0.1:{port}"

    def register(self, service: str, ports: Sequence[int]) -> None:
        """Register workers on this machine, without checks; returns once the lookup service knows them."""
        asyncio.run(register(self.consul, service, [("127.0.0.1", port) for port in ports]))
        wait_for_workers(self.lookup, {service: len(ports)})
