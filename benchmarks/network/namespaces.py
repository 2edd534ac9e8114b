"""A network of hosts on one machine: network namespaces on a switch, each behind a link of limited speed.

The switch is a bridge in a namespace of its own, so the machine's own network is not touched. Each direction of
each link is limited by a token bucket (tc-tbf(8)): what a host sends at the host's end, what it receives at the
switch's end. Needs root. Everything is removed when the block ends, even by an exception.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

BURST_BYTES = 1 << 16
"""What may pass at once: one packet as the kernel passes it on before segmentation."""

QUEUE_MS = 50
"""Packets that would wait longer are dropped, as by a switch whose buffer is full."""

LINK = "eth0"
"""The name of a host's one interface, in its namespace."""


@dataclass(frozen=True, slots=True)
class Host:
    """A namespace, and its address in the network."""

    namespace: str
    address: str

    def command(self, *arguments: str | Path) -> list[str | Path]:
        """The command that runs another one on this host."""
        return ["ip", "netns", "exec", self.namespace, *arguments]

    def bytes_moved(self) -> int:
        """How many bytes its link has carried in both directions, headers included."""
        counters = json.loads(_ip("-n", self.namespace, "-s", "-j", "link", "show", LINK))[0]["stats64"]
        return int(counters["rx"]["bytes"]) + int(counters["tx"]["bytes"])


@contextmanager
def network(count: int, *, mbit_s: float) -> Iterator[Sequence[Host]]:
    """`count` hosts that reach each other over links of `mbit_s` megabits per second in each direction."""
    prefix = f"p2p-{os.getpid()}"
    with ExitStack() as stack:
        switch = stack.enter_context(_namespace(f"{prefix}-switch"))
        _ip("-n", switch, "link", "add", "switch", "up", "type", "bridge")
        hosts = []
        for number in range(1, count + 1):
            host = Host(stack.enter_context(_namespace(f"{prefix}-{number}")), f"10.213.0.{number}")
            _plug_in(host, switch, f"port{number}", mbit_s)
            hosts.append(host)
        yield hosts


@contextmanager
def _namespace(name: str) -> Iterator[str]:
    _ip("netns", "add", name)
    try:
        _ip("-n", name, "link", "set", "lo", "up")
        yield name
    finally:
        _ip("netns", "del", name)  # and with it the links in it


def _plug_in(host: Host, switch: str, port: str, mbit_s: float) -> None:
    inside = ["-n", host.namespace]
    _ip(*inside, "link", "add", LINK, "type", "veth", "peer", "name", port, "netns", switch)
    _ip(*inside, "address", "add", f"{host.address}/24", "dev", LINK)
    _ip(*inside, "link", "set", LINK, "up")
    _ip("-n", switch, "link", "set", port, "master", "switch", "up")
    for namespace, interface in ((host.namespace, LINK), (switch, port)):
        bucket = ["rate", f"{mbit_s}mbit", "burst", str(BURST_BYTES), "latency", f"{QUEUE_MS}ms"]
        _run("tc", "-n", namespace, "qdisc", "add", "dev", interface, "root", "tbf", *bucket)


def _ip(*arguments: str) -> str:
    return _run("ip", *arguments)


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout
