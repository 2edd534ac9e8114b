"""The processor time of a form beside that of the raw body, for the whole worker and for readers of forms alone.

    python -m benchmarks.worker.parts.multipart [--seconds 3] [--rounds 5]

A worker with the engine that predicts nothing answers one client, which posts the same image raw and as the form that
curl sends, in turns. The image is a BMP of 2 x 2 pixels followed by padding: it passes through the whole worker, but
is decoded in microseconds. The last lines are the readers of forms alone, in this process, beside those of packages
that are installed.
"""

from __future__ import annotations

import argparse
import importlib
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

from aiohttp import BodyPartReader
from aiohttp.multipart import MultipartReader
from aiohttp.streams import StreamReader

from benchmarks.harness.connections import Target
from benchmarks.harness.inputs import padded_bmp
from benchmarks.harness.load_generator import closed_loop
from benchmarks.harness.p2p import agent, worker
from benchmarks.harness.processes import threads_cpu_s
from benchmarks.harness.requests import BOUNDARY, FORM_TYPE, form, post
from benchmarks.harness.summary import markdown_row, markdown_table
from worker.web.multipart import read_form

SIZES = (35_000, 1_000_000)
PIECE_BYTES = 1 << 16
REPETITIONS = 200


def worker_us(pid: int, port: int, size: int, *, seconds: float, rounds: int) -> dict[str, list[float]]:
    """Processor microseconds of the worker for a request, of each round, by kind of body."""
    content = padded_bmp(size)
    requests = {"raw": post(content, "image/bmp"), "form": post(form(content, "image/bmp"), FORM_TYPE)}
    spent: dict[str, list[float]] = {name: [] for name in requests}
    for number in range(rounds + 1):
        for name, request in requests.items():
            before_s = threads_cpu_s(pid)
            load = closed_loop(Target(port, (request,)), connections=1, seconds=seconds)
            if load.count(200) != len(load.answers):
                raise RuntimeError(f"not all answers to {name} had the status 200")
            if number:  # the first round warms up
                spent[name].append((threads_cpu_s(pid) - before_s) / len(load.answers) * 1e6)
    return spent


def readers(body: bytes) -> dict[str, Callable[[], int]]:
    """By name, functions that read the form's one field from the pieces of `body` and return its length."""
    pieces = [body[at : at + PIECE_BYTES] for at in range(0, len(body), PIECE_BYTES)]
    boundary = BOUNDARY.encode()
    found: dict[str, Callable[[], int]] = {
        "joined, not parsed": lambda: len(b"".join(pieces)),
        "worker.web.multipart": lambda: sum(len(f.content or b"") for f in read_form(pieces, boundary, wanted="data")),
        "aiohttp": lambda: _aiohttp(pieces),
    }
    if python_multipart := _installed("python_multipart"):
        found["python-multipart"] = lambda: _python_multipart(python_multipart, pieces)
    if streaming_form_data := _installed("streaming_form_data"):
        found["streaming-form-data"] = lambda: _streaming_form_data(streaming_form_data, pieces)
    return found


def _installed(name: str) -> Any:
    """The module of that name, or None if it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def _python_multipart(package: Any, pieces: Sequence[bytes]) -> int:
    parts: list[bytes] = []

    def keep(data: bytes, start: int, end: int) -> None:
        parts.append(data[start:end])

    parser = package.MultipartParser(BOUNDARY.encode(), {"on_part_data": keep})
    for piece in pieces:
        parser.write(piece)
    return len(b"".join(parts))


def _streaming_form_data(package: Any, pieces: Sequence[bytes]) -> int:
    parser, target = package.StreamingFormDataParser({"Content-Type": FORM_TYPE}), package.targets.ValueTarget()
    parser.register("data", target)
    for piece in pieces:
        parser.data_received(piece)
    return len(target.value)


def _aiohttp(pieces: Sequence[bytes]) -> int:
    """aiohttp's reader, to which all pieces are given at once, so that it never waits and needs no event loop."""

    async def read() -> int:
        stream = StreamReader(_Unpaused(), 1 << 30, loop=_NoLoop())  # type: ignore[arg-type]  # their methods are not called
        for piece in pieces:
            stream.feed_data(piece)
        stream.feed_eof()
        part = await MultipartReader({"Content-Type": FORM_TYPE}, stream).next()
        assert isinstance(part, BodyPartReader)
        return len(await part.read(decode=False))

    try:
        read().send(None)
    except StopIteration as done:
        return int(done.value)
    raise AssertionError("it waited")


class _NoLoop:
    """Stands for an event loop, which is not used."""


class _Unpaused:
    """Stands for a connection, which is never paused."""

    connected = True

    def pause_reading(self) -> None: ...

    def resume_reading(self, resume_parser: bool = True) -> None: ...


def print_readers(size: int) -> None:
    """Print the processor time of the readers alone."""
    content = padded_bmp(size)
    contestants = readers(form(content, "image/bmp"))
    took: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(REPETITIONS):
        for name, read in contestants.items():
            began_s = time.thread_time()
            if read() < len(content):
                raise RuntimeError(f"{name} lost something")
            took[name].append((time.thread_time() - began_s) * 1e6)
    for name, times in took.items():
        print(markdown_row([f"{size:,} bytes, {name}", f"{statistics.median(times):.0f}", "", ""]), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    print(markdown_table(["CPU microseconds", "raw", "form", "form / raw"], ()))
    with agent() as consul, worker(consul.url) as serving:
        for size in SIZES:
            spent = worker_us(serving.pid, serving.port, size, seconds=options.seconds, rounds=options.rounds)
            raw, as_form = (statistics.median(spent[name]) for name in ("raw", "form"))
            cells = [f"{raw:.0f}", f"{as_form:.0f}", f"{as_form / raw:.2f}"]
            print(markdown_row([f"{size:,} bytes, the whole worker", *cells]), flush=True)
    for size in SIZES:
        print_readers(size)


if __name__ == "__main__":
    main()
