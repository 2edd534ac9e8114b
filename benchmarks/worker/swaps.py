"""Version swaps under a constant load: latencies and failures during swaps, and what swaps leave in memory.

    python -m benchmarks.worker.swaps [--model PATH] [--engine auto] [--swaps 20] [--rate 15] [--before 20]
                                [--time-limit 900]

Copies a model (the default one unless another is given) as version 1, 2, ... and starts one worker with it. A client
sends `--rate` images per second and times each from when it was due. A version is published by a rename; a swap lasts
from then until the old version is removed. Prints the latencies before and during the swaps, all answers that were not
200, and the worker's resident memory, threads and open files after each swap. The client has a raised priority where
that is allowed, so that it does not wait for the processor itself. No version is published after `--time-limit`
seconds. The last lines have p99 during the swaps divided by p99 before, which should be under 2, and memory at the end
divided by memory at the start, which should be within 5% of 1.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

import aiohttp

from benchmarks.harness.inputs import PHOTO, default_model
from benchmarks.harness.p2p import P2P
from benchmarks.harness.processes import free_port, get, rss_mb, server
from benchmarks.harness.summary import percentile, spread_table

LOADED_WITHIN_S = 300


class FixedRateClient:
    """Sends images at a fixed rate from its creation on.

    times:    of each request: when it was due (time.monotonic), and its latency in ms
    failures: answers other than 200, and errors
    """

    def __init__(self, http: aiohttp.ClientSession, url: str, *, rate_hz: float) -> None:
        self.times: list[tuple[float, float]] = []
        self.failures: list[str] = []
        self._http, self._url, self._body = http, url, PHOTO.read_bytes()
        self._asked: set[asyncio.Task[None]] = set()
        self._task = asyncio.create_task(self._send(rate_hz))

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, *self._asked, return_exceptions=True)

    def between(self, from_s: float, to_s: float) -> list[float]:
        return [took_ms for due_s, took_ms in self.times if from_s <= due_s < to_s]

    async def _send(self, rate_hz: float) -> None:
        began_s, number = time.monotonic(), 0
        while True:
            due_s = began_s + number / rate_hz
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))
            task = asyncio.create_task(self._one(due_s))
            self._asked.add(task)
            task.add_done_callback(self._asked.discard)
            number += 1

    async def _one(self, due_s: float) -> None:
        try:
            async with self._http.post(self._url, data=self._body) as answer:
                text = await answer.text()
                if answer.status != 200:
                    self.failures.append(f"{answer.status} {text.strip()}")
        except (aiohttp.ClientError, TimeoutError) as error:
            self.failures.append(repr(error))
        self.times.append((due_s, (time.monotonic() - due_s) * 1000))


async def measure(root: Path, model: Path, url: str, pid: int, options: argparse.Namespace) -> None:
    timeout = aiohttp.ClientTimeout(total=60)
    async with aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0)) as http:
        load = FixedRateClient(http, f"{url}/", rate_hz=options.rate)
        await asyncio.sleep(3)  # the first requests of a process are slower and not measured
        before_s = time.monotonic()
        await asyncio.sleep(options.before)
        swapping_s = time.monotonic()
        held_mb = [rss_mb(pid)]
        during: list[float] = []
        print(f"after the start: {_resources(pid)}", flush=True)
        for version in range(2, options.swaps + 2):
            began_s = time.monotonic()
            if began_s > swapping_s + options.time_limit:
                print(f"The time is over: {version - 2} swaps.")
                break
            publish(model, root, version)
            await _wait_until_served(http, url, version)
            shutil.rmtree(root / str(version - 1))
            ended_s = time.monotonic()
            during += load.between(began_s, ended_s)
            held_mb.append(rss_mb(pid))
            print(f"version {version}: {ended_s - began_s:.1f} s; {_resources(pid)}", flush=True)
        await load.stop()
    measured = {"before": load.between(before_s, swapping_s), "during swaps": during}
    print(spread_table(measured, unit="ms"))
    before_ms, during_ms = (percentile(times, 0.99) for times in measured.values())
    print(
        f"p99 during swaps / before: {during_ms / before_ms:.2f}; memory, end / start: {held_mb[-1] / held_mb[0]:.3f}"
    )
    print(f"{len(load.failures)} of {len(load.times)} requests failed: {sorted(set(load.failures))[:3]}")


async def _wait_until_served(http: aiohttp.ClientSession, url: str, version: int) -> None:
    """Wait until this version is the only one. Exits if it cannot be loaded."""
    async with asyncio.timeout(LOADED_WITHIN_S):
        while True:
            async with http.get(f"{url}/readyz") as answer:
                (model,) = (await answer.json())["models"].values()
            if [(v["version"], v["state"]) for v in model["versions"]] == [(str(version), "AVAILABLE")]:
                return
            if model["versions"][0]["state"] == "END":
                sys.exit(f"Version {version} could not be loaded: {model['versions'][0]['error']}")
            await asyncio.sleep(0.25)


def publish(model: Path, root: Path, version: int) -> None:
    """Publish a copy of the model as this version, atomically."""
    part = root / f"{version}.part"
    shutil.copytree(model, part)
    (part / "note.txt").write_text(f"{version}\n")
    part.rename(root / str(version))


def _resources(pid: int) -> str:
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    files = 0
    for file in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed since it was listed
            files += not os.readlink(file).startswith("socket:")  # those are the client's connections
    return f"{rss_mb(pid):.0f} MB, {status['Threads'].strip()} threads, {files} files"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--swaps", type=int, default=20)
    parser.add_argument("--rate", type=float, default=15)
    parser.add_argument("--before", type=float, default=20)
    parser.add_argument("--time-limit", type=float, default=900)
    options = parser.parse_args()
    model = options.model or default_model()
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, -10)
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        root, log = Path(folder) / "model", Path(folder) / "worker.log"
        root.mkdir()
        publish(model, root, 1)
        agent, port = free_port(), free_port()
        normal = ["nice", "-n", "10"] if os.getpriority(os.PRIO_PROCESS, 0) < 0 else []
        stack.enter_context(server([*normal, *P2P, "agent", "--port", str(agent)], core=None, log=log))
        get(f"http://127.0.0.1:{agent}/v1/status/leader")
        command = [*normal, *P2P, "worker", "--model", str(root), "--engine", options.engine, "--port", str(port)]
        environ = {"CONSUL_HTTP_ADDR": f"http://127.0.0.1:{agent}"}
        worker = stack.enter_context(server(command, core=None, environ=environ, log=log))
        url = f"http://127.0.0.1:{port}"
        try:
            described = json.loads(get(f"{url}/readyz", within_s=LOADED_WITHIN_S))["models"]
            print(json.dumps(described))
            asyncio.run(measure(root, model, url, worker.pid, options))
        except BaseException:
            print(log.read_text()[-3000:], file=sys.stderr)
            raise


if __name__ == "__main__":
    main()
