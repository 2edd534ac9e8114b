"""Why there is no proxy: images a second of N clients and N workers, through nginx, through `p2p proxy`, and directly.

    python -m benchmarks.bandwidth [--seconds 10] [--rounds 3] [--picture docs/bandwidth.svg]

Every client, every worker and one host for all that is in the middle (Consul, lookup service, both proxies) is a
network namespace behind a link of 100 Mbit/s; clients post JPEGs of 1 MB, several at a time, to `p2p worker --engine
echo`, which decodes them. The three ways take turns; medians count. Counters of the links say how many bytes went
through the lookup host while images went directly. Root only (ip netns, tc); nothing of it stays.
"""

from __future__ import annotations

import argparse
import io
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
from statistics import median

import numpy as np
from PIL import Image

from benchmarks.bandwidth_picture import picture
from benchmarks.consuls import consul_command
from benchmarks.contest import P2P, needs, server
from benchmarks.netns import Host, network

MBIT_S = 100
LINK_MB_S = MBIT_S / 8
COUNTS = (1, 2, 4, 8)
AT_ONCE = 4
"""Images under way for each client: so many that a link hardly ever waits for the other end."""

NGINX, PROXY, DIRECT = "through nginx", "through p2p proxy", "directly, by lookup"
SERVICE = "images"
PORTS = {NGINX: 8080, PROXY: 12479, DIRECT: 12480}
CONSUL_PORT, WORKER_PORT = 8500, 9000

DIRECT_LEAST = 0.93
LOOKUP_MOST = 0.001


@dataclass(frozen=True, slots=True)
class Passage:
    """One way, for a while: megabytes of images a second, and bytes on links of the middle and of the workers."""

    mb_s: float
    middle_bytes: int
    workers_bytes: int


def noise(folder: Path) -> Path:
    """A JPEG of about 1 MB; noise does not compress, so it has few pixels and is decoded quickly."""
    pixels = np.random.default_rng(1).integers(0, 256, (917, 917, 3), dtype=np.uint8)
    encoded = io.BytesIO()
    Image.fromarray(pixels).save(encoded, "JPEG", quality=95)
    path = folder / "noise.jpg"
    path.write_bytes(encoded.getvalue())
    return path


class Client:
    """A host that posts images when told."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def begin(self, order: Mapping[str, str | float]) -> None:
        """Give an order."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()

    def done(self) -> list[float]:
        """When it was answered (monotonic, seconds), once the order is carried out."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("A client ended: its error stands above.")
        moments: list[float] = json.loads(line)
        return moments


@contextmanager
def client(host: Host, image: Path) -> Iterator[Client]:
    command = host.command(sys.executable, "-m", "benchmarks.posting", image, "--at-once", str(AT_ONCE))
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Client(process)
        finally:
            process.kill()


class Network:
    """N clients and N workers that are ready, and the middle."""

    def __init__(self, middle: Host, workers: Sequence[Host], clients: Sequence[Client], image_bytes: int) -> None:
        self._middle = middle
        self._workers = workers
        self._clients = clients
        self._image_bytes = image_bytes

    def carry(self, way: str, *, seconds: float) -> Passage:
        """All clients post this way; what comes in the first fifth of the time is not counted."""
        before = self._middle.bytes_moved(), self._workers_bytes()
        began_s = time.monotonic()
        for each in self._clients:
            path = {"lookup": "/next"} if way == DIRECT else {"url": "/"}
            order = {key: f"http://{self._middle.address}:{PORTS[way]}{end}" for key, end in path.items()}
            each.begin({**order, "seconds": seconds})
        moments = sorted(moment for each in self._clients for moment in each.done())
        counted = [m for m in moments if began_s + seconds / 5 <= m <= began_s + seconds]
        rate_hz = (len(counted) - 1) / (counted[-1] - counted[0])
        moved = self._middle.bytes_moved() - before[0], self._workers_bytes() - before[1]
        return Passage(rate_hz * self._image_bytes / 1e6, *moved)

    def _workers_bytes(self) -> int:
        return sum(worker.bytes_moved() for worker in self._workers)


@contextmanager
def running_network(count: int, image: Path, folder: Path) -> Iterator[Network]:
    """A network of `count` clients and workers in which everything runs."""
    with network(2 * count + 1, mbit_s=MBIT_S) as (middle, *others), ExitStack() as stack:
        consul = f"http://{middle.address}:{CONSUL_PORT}"

        def start(host: Host, *command: str | Path) -> None:
            stack.enter_context(server(host.command(*command), core=None, log=folder / "log"))

        start(middle, *consul_command(folder, host=middle.address, http_port=CONSUL_PORT))
        wait_for(middle, f"{consul}/v1/catalog/service/consul", '"ServiceID"', times=1)
        workers, clients = others[:count], others[count:]
        at = ["--service", SERVICE, "--consul", consul]
        for worker in workers:
            where = ["--host", worker.address, "--port", str(WORKER_PORT)]
            start(worker, *P2P, "exec", *at, *where, "--", sys.executable, "-m", "benchmarks.sink", "{port}", "--host", worker.address)
        lookup, proxy, nginx = (f"http://{middle.address}:{PORTS[way]}" for way in (DIRECT, PROXY, NGINX))
        listen = ["--host", middle.address, "--port"]
        start(middle, *P2P, "registry", *listen, str(PORTS[DIRECT]), "--state", "", *at)
        wait_for(middle, f"{lookup}/next?count={count}", f":{WORKER_PORT}", times=count)
        # Not before: nginx leaves alone for ten seconds a worker that it could not reach.
        addresses = [f"{worker.address}:{WORKER_PORT}" for worker in workers]
        start(middle, *P2P, "proxy", *listen, str(PORTS[PROXY]), "--workers", ",".join(addresses))
        start(middle, "nginx", "-p", folder, "-c", nginx_conf(folder, middle, addresses))
        for url in (proxy, nginx):
            wait_for(middle, f"{url}/readyz", "", times=0)
        posting = [stack.enter_context(client(host, image)) for host in clients]
        yield Network(middle, workers, posting, image.stat().st_size)


def nginx_conf(folder: Path, middle: Host, workers: Sequence[str]) -> Path:
    """nginx as one would set it up for this: bodies not buffered, connections to workers kept."""
    path = folder / "nginx.conf"
    servers = " ".join(f"server {address};" for address in workers)
    path.write_text(
        f"user root; worker_processes auto; daemon off; pid {folder}/nginx.pid; error_log stderr;"
        "events { worker_connections 1024; }"
        f"http {{ access_log off; client_body_temp_path {folder}; proxy_temp_path {folder};"
        f"fastcgi_temp_path {folder}; uwsgi_temp_path {folder}; scgi_temp_path {folder};"
        f"upstream workers {{ {servers} keepalive 64; }}"
        f"server {{ listen {middle.address}:{PORTS[NGINX]}; client_max_body_size 32m; location / {{"
        "proxy_pass http://workers; proxy_http_version 1.1; proxy_set_header Connection '';"
        "proxy_request_buffering off; proxy_buffering off; } } }"
    )
    return path


def wait_for(host: Host, url: str, text: str, *, times: int, within_s: float = 120) -> None:
    """Wait until `url`, asked from `host`, answers with `text` in it so many times."""
    end_s = time.monotonic() + within_s
    while True:
        asked = subprocess.run(host.command("curl", "-sf", "--max-time", "5", url), capture_output=True, text=True)
        if asked.returncode == 0 and (not text or asked.stdout.count(text) == times):
            return
        if time.monotonic() > end_s:
            raise RuntimeError(f"{url} did not answer as it should: {asked.stdout[:500]}")
        time.sleep(0.2)


def measure(count: int, image: Path, *, seconds: float, rounds: int) -> dict[str, Passage]:
    """The three ways in turns; of each the round with the median speed."""
    passages: dict[str, list[Passage]] = {way: [] for way in PORTS}
    with tempfile.TemporaryDirectory() as folder, running_network(count, image, Path(folder)) as ready:
        for _ in range(rounds):
            for way, measured in passages.items():
                measured.append(ready.carry(way, seconds=seconds))
    load = os.getloadavg()[0]
    print(f"{count} of each: " + json.dumps({w: [p.mb_s for p in m] for w, m in passages.items()}), load, file=sys.stderr)
    return {way: sorted(m, key=lambda p: p.mb_s)[len(m) // 2] for way, m in passages.items()}


if __name__ == "__main__":
    pass
