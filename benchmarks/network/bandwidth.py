"""Megabytes per second from N clients to N workers: through nginx, through `p2p proxy`, and directly.

    python -m benchmarks.network.bandwidth [--seconds 8] [--rounds 3] [--picture docs/measurements/bandwidth.svg]

Every client, every worker, and one host in the middle for Consul, the lookup service and both proxies, is a network
namespace behind a link of 100 Mbit/s. Clients post bodies of 1 MB, several at a time. The workers are
`p2p exec ... benchmarks.network.sink_server`: they are registered and looked up, but drop what they receive, since two
cores cannot decode what eight links carry. The three routes take turns; medians count. The links' own counters tell how
many bytes were moved, also through the host in the middle. Needs root (ip netns, tc) and removes what it has set up.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.harness.consul import consul_command
from benchmarks.harness.p2p import P2P
from benchmarks.harness.processes import require_programs, server
from benchmarks.harness.rounds import progress
from benchmarks.harness.summary import markdown_table
from benchmarks.network.namespaces import Host, network
from benchmarks.plots import save_bandwidth

MBIT_S = 100
LINK_MB_S = MBIT_S / 8
COUNTS = (1, 2, 4, 8)
BODY_BYTES = 1_000_000
AT_ONCE = 4
"""Bodies in flight per client: enough that a link hardly ever waits for the other end."""

NGINX, PROXY, DIRECT = "through nginx", "through p2p proxy", "directly, by lookup"
PORTS = {NGINX: 8080, PROXY: 12479, DIRECT: 12480}
SERVICE, CONSUL_PORT, WORKER_PORT = "images", 8500, 9000

DIRECT_LEAST = 0.93
PROXIED_MOST = 1.02
LOOKUP_MOST = 0.001


@dataclass(frozen=True, slots=True)
class Throughput:
    """One turn of one route: megabytes of bodies per second, the middle's share of the bytes of workers' links."""

    mb_s: float
    middle_share: float


class PostingClient:
    """A client process that posts when it gets an order."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def begin(self, order: Mapping[str, str | float]) -> None:
        """Send an order to the process."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()

    def done(self) -> int:
        """Wait until the order is carried out; the number of bodies that were posted."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("A client has ended: its error stands above.")
        return int(line)


@contextmanager
def client(host: Host) -> Iterator[PostingClient]:
    flags = ["--body-bytes", str(BODY_BYTES), "--at-once", str(AT_ONCE)]
    command = host.command(sys.executable, "-m", "benchmarks.network.posting_client", *flags)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield PostingClient(process)
        finally:
            process.kill()


@dataclass(frozen=True, slots=True)
class Testbed:
    """The clients and workers, all ready, and the host in the middle."""

    middle: Host
    workers: Sequence[Host]
    clients: Sequence[PostingClient]

    def post(self, route: str, *, seconds: float) -> Throughput:
        """All clients post over this route for `seconds`; the first quarter, in which TCP speeds up, is not counted."""
        url = f"http://{self.middle.address}:{PORTS[route]}/"
        order = {"lookup": f"{url}next"} if route == DIRECT else {"url": url}
        middle, began_s, first = self.middle.bytes_moved(), time.monotonic(), self._at_workers()
        for each in self.clients:
            each.begin({**order, "seconds": seconds})
        time.sleep(seconds / 4)
        since_s, warm = time.monotonic(), self._at_workers()
        time.sleep(began_s + seconds - time.monotonic())
        until_s, last = time.monotonic(), self._at_workers()
        bodies = sum(each.done() for each in self.clients)
        in_all = self._at_workers() - first
        bodies_share = bodies * BODY_BYTES / in_all
        mb_s = (last - warm) / (until_s - since_s) * bodies_share / 1e6
        return Throughput(mb_s, (self.middle.bytes_moved() - middle) / in_all)

    def _at_workers(self) -> int:
        return sum(worker.bytes_moved() for worker in self.workers)


@contextmanager
def running_testbed(count: int, folder: Path) -> Iterator[Testbed]:
    """`count` clients and workers in a network of their own, with the host in the middle and all of its servers."""
    with network(2 * count + 1, mbit_s=MBIT_S) as (middle, *others), ExitStack() as stack:
        workers, clients = others[:count], others[count:]

        def start(host: Host, *command: str | Path) -> None:
            stack.enter_context(server(host.command(*command), core=None, log=folder / "log"))

        consul = f"http://{middle.address}:{CONSUL_PORT}"
        start(middle, *consul_command(folder, host=middle.address, http_port=CONSUL_PORT))
        wait_for(middle, f"{consul}/v1/catalog/service/consul", '"ServiceID"', times=1)
        named = ["--service", SERVICE, "--consul", consul]
        for worker in workers:
            start(worker, *P2P, "exec", *named, *_listen(worker, WORKER_PORT), "--drain", "0", *_sink(worker))
        start(middle, *P2P, "registry", *named, *_listen(middle, PORTS[DIRECT]), "--state", "")
        url = f"http://{middle.address}:{PORTS[DIRECT]}/next?count={count}"
        wait_for(middle, url, f":{WORKER_PORT}", times=count)
        # Not earlier: both proxies avoid a worker that they could not reach for ten seconds.
        addresses = [f"{worker.address}:{WORKER_PORT}" for worker in workers]
        start(middle, *P2P, "proxy", *_listen(middle, PORTS[PROXY]), "--workers", ",".join(addresses))
        start(middle, "nginx", "-p", folder, "-c", nginx_conf(folder, middle, addresses))
        for route in (PROXY, NGINX):
            wait_for(middle, f"http://{middle.address}:{PORTS[route]}/", "sink", times=1)
        yield Testbed(middle, workers, [stack.enter_context(client(host)) for host in clients])


def _listen(host: Host, port: int) -> list[str]:
    return ["--host", host.address, "--port", str(port)]


def _sink(host: Host) -> list[str]:
    return ["--", sys.executable, "-m", "benchmarks.network.sink_server", "{port}", "--host", host.address]


def nginx_conf(folder: Path, middle: Host, workers: Sequence[str]) -> Path:
    """A configuration of nginx for large bodies: not buffered, over persistent connections to the workers."""
    path = folder / "nginx.conf"
    servers = " ".join(f"server {address};" for address in workers)
    temporary = " ".join(f"{kind}_temp_path {folder};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    path.write_text(
        f"user root; worker_processes auto; daemon off; pid {folder}/nginx.pid; error_log stderr;"
        f"events {{ worker_connections 1024; }} http {{ access_log off; {temporary}"
        f"upstream workers {{ {servers} keepalive 64; }}"
        f"server {{ listen {middle.address}:{PORTS[NGINX]}; client_max_body_size 32m; location / {{"
        "proxy_pass http://workers; proxy_http_version 1.1; proxy_set_header Connection '';"
        "proxy_request_buffering off; proxy_buffering off; } } }"
    )
    return path


def wait_for(host: Host, url: str, text: str, *, times: int, within_s: float = 120) -> None:
    """Wait until an answer of `url`, asked for from `host`, contains `text` exactly `times` times."""
    end_s = time.monotonic() + within_s
    while True:
        asked = subprocess.run(host.command("curl", "-sf", "-m", "5", url), capture_output=True, text=True)
        if asked.stdout.count(text) == times:
            return
        if time.monotonic() > end_s:
            raise RuntimeError(f"{url} did not answer as it should: {asked.stdout[:500]}")
        time.sleep(0.2)


def measure(count: int, *, seconds: float, rounds: int) -> dict[str, Throughput]:
    """The three routes in turns; of each, the round of median speed."""
    measured: dict[str, list[Throughput]] = {route: [] for route in PORTS}
    with tempfile.TemporaryDirectory() as folder, running_testbed(count, Path(folder)) as testbed:
        for _ in range(rounds):
            for route, turns in measured.items():
                turns.append(testbed.post(route, seconds=seconds))
    shown = {route: [round(turn.mb_s, 1) for turn in turns] for route, turns in measured.items()}
    progress(f"{count}: {shown}, load average {os.getloadavg()[0]:.1f}")
    return {route: sorted(turns, key=lambda turn: turn.mb_s)[len(turns) // 2] for route, turns in measured.items()}


def table(measured: Mapping[int, Mapping[str, Throughput]]) -> str:
    """A row for each number of clients and workers, with the MB/s of each route."""
    head = ["clients and workers", *(f"{route}, MB/s" for route in PORTS)]
    rows = []
    for count, routes in measured.items():
        direct = routes[DIRECT]
        speeds = [f"{one.mb_s:.1f}" for one in routes.values()]
        rows.append([str(count), *speeds, f"{_of_links(direct, count):.2f}", f"{direct.middle_share:.3%}"])
    return markdown_table([*head, "directly, share of the links", "bytes through the lookup host"], rows)


def short_of(measured: Mapping[int, Mapping[str, Throughput]]) -> list[str]:
    """The promises of the documentation that these measurements break, a sentence each."""
    problems = []
    for count, routes in measured.items():
        if _of_links(routes[DIRECT], count) < DIRECT_LEAST:
            problems.append(f"directly, {count} workers move less than {DIRECT_LEAST} of what their links could")
        if max(routes[NGINX].mb_s, routes[PROXY].mb_s) > PROXIED_MOST * LINK_MB_S:
            problems.append(f"with {count} workers a proxy moves more than its link can: the network is not as meant")
        if routes[DIRECT].middle_share >= LOOKUP_MOST:
            problems.append(
                f"with {count} workers the lookup host carries {routes[DIRECT].middle_share:.2%} of the bytes"
            )
    return problems


def _of_links(one: Throughput, count: int) -> float:
    return one.mb_s / (count * LINK_MB_S)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--counts", type=int, nargs="+", default=COUNTS)
    parser.add_argument("--picture", type=Path, help="draw what was measured as SVG")
    options = parser.parse_args()
    require_programs("ip", "tc", "nginx", "curl")
    if os.geteuid() != 0:
        sys.exit("Network namespaces need root: run this with sudo.")
    signal.signal(
        signal.SIGTERM, lambda *_: sys.exit(143)
    )  # an exception, as Ctrl-C is, so that the network is removed
    measured = {n: measure(n, seconds=options.seconds, rounds=options.rounds) for n in options.counts}
    print(table(measured))
    if options.picture:
        series = {route: {count: routes[route].mb_s for count, routes in measured.items()} for route in PORTS}
        save_bandwidth(options.picture, series, link_mb_s=LINK_MB_S, link_name=f"{MBIT_S} Mbit/s")
    if problems := short_of(measured):
        sys.exit("\n".join(problems))


if __name__ == "__main__":
    main()
