"""Versions that follow each other under a constant load: what a swap costs those who wait, and what it leaves behind.

    python -m benchmarks.worker.swaps [--model PATH] [--engine auto] [--swaps 20] [--rate 15] [--before 20]
                                [--time-limit 900]

Copies a model (the default one unless told) as version 1, 2, ... and starts one worker with it. A client sends
`--rate` images a second, each when it is due, and times it from then. Every version is published by a rename, and
a swap lasts from there until the old version is gone. Prints the times before and during the swaps, all that was
not a 200, and the worker's resident memory, threads and open files after each swap. The client has a raised
priority where root allows it, so that what it measures is the worker. No version is published after `--time-limit`
seconds. At the end two quotients: p99 during the swaps to before, and memory at the end to the start, which should
be under 2 and within 5%.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import aiohttp

from benchmarks.harness.percentiles import spread_table
from benchmarks.harness.rounds import P2P, answers, free_port, rss_mb, server

PHOTO = Path(__file__).parents[2] / "deploy" / "cat.jpg"
LOADED_WITHIN_S = 300


class Load:
    """Images at a fixed rate from the moment it is made; `times` are (when due, milliseconds), `bad` all else."""

    def __init__(self, http: aiohttp.ClientSession, url: str, *, rate_hz: float) -> None:
        self.times: list[tuple[float, float]] = []
        self.bad: list[str] = []
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
                    self.bad.append(f"{answer.status} {text.strip()}")
        except (aiohttp.ClientError, TimeoutError) as error:
            self.bad.append(repr(error))
        self.times.append((due_s, (time.monotonic() - due_s) * 1000))


async def measure(root: Path, model: Path, url: str, pid: int, options: argparse.Namespace) -> None:
    timeout = aiohttp.ClientTimeout(total=60)
    async with aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0)) as http:
        load = Load(http, f"{url}/", rate_hz=options.rate)
        await asyncio.sleep(3)  # the first requests of a process are not what is measured
        before_s = time.monotonic()
        await asyncio.sleep(options.before)
        swapping_s = time.monotonic()
        held_mb = [rss_mb(pid)]
        during: list[float] = []
        print(f"after the start: {_held(pid)}", flush=True)
        for version in range(2, options.swaps + 2):
            began_s = time.monotonic()
            if began_s > swapping_s + options.time_limit:
                print(f"The time is over: {version - 2} swaps.")
                break
            publish(model, root, version)
            await _served(http, url, version)
            shutil.rmtree(root / str(version - 1))
            ended_s = time.monotonic()
            during += load.between(began_s, ended_s)
            held_mb.append(rss_mb(pid))
            print(f"version {version}: {ended_s - began_s:.1f} s; {_held(pid)}", flush=True)
        await load.stop()
    measured = {"before": load.between(before_s, swapping_s), "during swaps": during}
    print(spread_table(measured, unit="ms"))
    before_ms, during_ms = (_p99(times) for times in measured.values())
    print(
        f"p99 during swaps / before: {during_ms / before_ms:.2f}; memory, end / start: {held_mb[-1] / held_mb[0]:.3f}"
    )
    print(f"{len(load.bad)} of {len(load.times)} requests failed: {sorted(set(load.bad))[:3]}")


def _p99(times_ms: list[float]) -> float:
    return statistics.quantiles(times_ms, n=100)[98]


async def _served(http: aiohttp.ClientSession, url: str, version: int) -> None:
    """Wait until this version alone is there."""
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
    """A copy of the model as this version, there as a whole or not at all."""
    part = root / f"{version}.part"
    shutil.copytree(model, part)
    (part / "note.txt").write_text(f"{version}\n")
    part.rename(root / str(version))


def _held(pid: int) -> str:
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    files = 0
    for file in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed since it was listed
            files += not os.readlink(file).startswith("socket:")  # those are the client's connections
    return f"{rss_mb(pid):.0f} MB, {status['Threads'].strip()} threads, {files} files"


def _default_model() -> Path:
    """The ImageNet model's export, made by a process of its own so that this one stays small."""
    code = "from worker.default_model.export import exported; from worker.cli.options import _cache"
    code += "; print(exported(_cache()))"
    return Path(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--swaps", type=int, default=20)
    parser.add_argument("--rate", type=float, default=15)
    parser.add_argument("--before", type=float, default=20)
    parser.add_argument("--time-limit", type=float, default=900)
    options = parser.parse_args()
    model = options.model or _default_model()
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, -10)
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        root, log = Path(folder) / "model", Path(folder) / "worker.log"
        root.mkdir()
        publish(model, root, 1)
        agent, port = free_port(), free_port()
        normal = ["nice", "-n", "10"] if os.getpriority(os.PRIO_PROCESS, 0) < 0 else []
        stack.enter_context(server([*normal, *P2P, "agent", "--port", str(agent)], core=None, log=log))
        answers(f"http://127.0.0.1:{agent}/v1/status/leader")
        command = [*normal, *P2P, "worker", "--model", str(root), "--engine", options.engine, "--port", str(port)]
        environ = {"CONSUL_HTTP_ADDR": f"http://127.0.0.1:{agent}"}
        worker = stack.enter_context(server(command, core=None, environ=environ, log=log))
        url = f"http://127.0.0.1:{port}"
        try:
            described = json.loads(answers(f"{url}/readyz", within_s=LOADED_WITHIN_S))["models"]
            print(json.dumps(described))
            asyncio.run(measure(root, model, url, worker.pid, options))
        except BaseException:
            print(log.read_text()[-3000:], file=sys.stderr)
            raise


if __name__ == "__main__":
    main()
