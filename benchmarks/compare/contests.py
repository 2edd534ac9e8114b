"""What is compared between two checkouts: how each part is started for both, and one turn of each."""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.harness.affinity import CLIENT_CORE, SERVER_CORE, cores
from benchmarks.harness.connections import Target
from benchmarks.harness.consul import register
from benchmarks.harness.inputs import PHOTO, padded_bmp
from benchmarks.harness.load_generator import closed_loop
from benchmarks.harness.p2p import Running, agent, environ_of, lookup_service, wait_for_workers, worker
from benchmarks.harness.processes import free_port, server, threads_cpu_s
from benchmarks.harness.requests import post
from benchmarks.harness.wrk import wrk

CLIENTS = 16
CALLS_AT_ONCE = 8
BODY_BYTES = 35_000
START_WITHIN_S = 600.0
"""A worker that has to export the default model first takes long."""

SCRIPT = Path(__file__).with_name("client_calls.py")


@dataclass(frozen=True, slots=True)
class Measured:
    """One turn: operations per second, and processor microseconds of the measured process for each."""

    per_s: float
    cpu_us: float


Turn = Callable[[], Measured]
Started = Callable[[Mapping[str, Path]], AbstractContextManager[dict[str, Turn]]]
"""Starts one part for each checkout, given by name; of each, what measures one turn."""


def lookup_contest(options: argparse.Namespace) -> dict[str, Started]:
    """Lookups per second of `p2p registry`, on a core of its own."""
    return {"lookups, wrk -c32": partial(_lookup_services, seconds=options.seconds)}


def worker_contest(options: argparse.Namespace) -> dict[str, Started]:
    """Images per second of `p2p worker`: with the engine that predicts nothing, and with the default model.

    For the former, images are decoded in microseconds and the worker has one core, so that HTTP and batching decide.
    """
    model = ["--engine", options.model_engine]
    echo = post(padded_bmp(BODY_BYTES), "image/bmp")
    photo = post(PHOTO.read_bytes(), "image/jpeg")
    return {
        f"images, echo, {CLIENTS} clients": partial(
            _workers, flags=["--engine", "echo"], request=echo, core=SERVER_CORE, seconds=options.seconds
        ),
        f"images, default model, {CLIENTS} clients": partial(
            _workers, flags=model, request=photo, core=None, seconds=options.seconds
        ),
    }


def client_contest(options: argparse.Namespace) -> dict[str, Started]:
    """Calls per second of p2pclient to a worker that drops the image: AsyncClient, and the blocking Client."""
    return {
        f"calls, AsyncClient, {CALLS_AT_ONCE} at once": partial(
            _clients, at_once=CALLS_AT_ONCE, seconds=options.seconds
        ),
        "calls, Client, one by one": partial(_clients, at_once=0, seconds=options.seconds),
    }


CONTESTS: Mapping[str, Callable[[argparse.Namespace], dict[str, Started]]] = {
    "lookup": lookup_contest,
    "worker": worker_contest,
    "client": client_contest,
}


@contextmanager
def _lookup_services(checkouts: Mapping[str, Path], *, seconds: float) -> Iterator[dict[str, Turn]]:
    with ExitStack() as stack:
        consul = stack.enter_context(agent(core=CLIENT_CORE))
        asyncio.run(register(consul.url, "classify", [("10.0.0.1", 9000), ("10.0.0.2", 9000)]))
        turns: dict[str, Turn] = {}
        for name, folder in checkouts.items():
            service = lookup_service(
                consul.url, "--service", "classify", knows={"classify": 2}, core=SERVER_CORE, checkout=folder
            )
            turns[name] = partial(_look_up, stack.enter_context(service), seconds=seconds)
        yield turns


def _look_up(lookup: Running, *, seconds: float) -> Measured:
    before_s, whole_s = threads_cpu_s(lookup.pid), max(1, round(seconds))
    per_s = wrk(f"{lookup.url}/next", seconds=whole_s)
    return Measured(per_s, (threads_cpu_s(lookup.pid) - before_s) * 1e6 / (per_s * whole_s))


@contextmanager
def _workers(
    checkouts: Mapping[str, Path], *, flags: list[str], request: bytes, core: int | None, seconds: float
) -> Iterator[dict[str, Turn]]:
    with ExitStack() as stack:
        consul = stack.enter_context(agent(core=None))
        turns: dict[str, Turn] = {}
        for name, folder in checkouts.items():
            serving = worker(
                consul.url, *flags[2:], "--service", name, engine=flags[1], core=core, checkout=folder,
                within_s=START_WITHIN_S,
            )  # fmt: skip
            running = stack.enter_context(serving)
            turns[name] = partial(_predict, running, request, pinned=core is not None, seconds=seconds)
        yield turns


def _predict(running: Running, request: bytes, *, pinned: bool, seconds: float) -> Measured:
    before_s = threads_cpu_s(running.pid)
    with cores(1 if pinned else 0, first=CLIENT_CORE):
        load = closed_loop(Target(running.port, (request,)), connections=CLIENTS, seconds=seconds)
    if load.count(200) != len(load.answers):
        raise RuntimeError(f"{running.url} did not answer all requests with 200")
    return Measured(load.per_s(), (threads_cpu_s(running.pid) - before_s) * 1e6 / len(load.answers))


@contextmanager
def _clients(checkouts: Mapping[str, Path], *, at_once: int, seconds: float) -> Iterator[dict[str, Turn]]:
    with ExitStack() as stack:
        consul = stack.enter_context(agent())
        lookup = stack.enter_context(lookup_service(consul.url))
        port = free_port()
        stack.enter_context(server([sys.executable, "-m", "benchmarks.network.sink_server", str(port)]))
        asyncio.run(register(consul.url, "classify", [("127.0.0.1", port)]))
        wait_for_workers(lookup.url, {"classify": 1})
        turns: dict[str, Turn] = {}
        for name, folder in checkouts.items():
            process = stack.enter_context(_client_process(folder, lookup.url, at_once))
            turns[name] = partial(_call, process, seconds=seconds)
        yield turns


@contextmanager
def _client_process(folder: Path, lookup_url: str, at_once: int) -> Iterator[subprocess.Popen[str]]:
    """A process that makes calls when it is told to, with the client of the checkout in `folder`."""
    command = ["taskset", "-c", str(CLIENT_CORE), sys.executable, str(SCRIPT), lookup_url, str(PHOTO), str(at_once)]
    environ = os.environ | environ_of(folder)
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=folder, env=environ) as process:
        try:
            yield process
        finally:
            process.terminate()


def _call(process: subprocess.Popen[str], *, seconds: float) -> Measured:
    assert process.stdin is not None
    assert process.stdout is not None
    print(seconds, file=process.stdin, flush=True)
    line = process.stdout.readline()
    if not line:
        raise RuntimeError("The client process has ended: its error stands above.")
    calls, took_s, cpu_s = map(float, line.split())
    return Measured(calls / took_s, cpu_s * 1e6 / calls)
