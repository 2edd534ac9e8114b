"""Where the time of a lone request goes, stage by stage, as a table and a picture.

    python -m benchmarks.worker.profile_request [--seconds 5] [--engine auto] [--model PATH] [--picture FILE.svg]

A worker in a process of its own, whose stages are timed by what is wrapped around them, answers one client that
posts one picture after another. Medians of each stage; what a request takes beyond its handler is the kernel, the
HTTP parser and the client, what a handler takes beyond the stages is handing over between threads, the queue and
writing the answer.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.harness.rounds import P2P, answers, free_port, server
from benchmarks.worker.decode import photographs
from benchmarks.worker.multipart import BOUNDARY, form, request
from benchmarks.worker.profile_plot import picture

STAGES = ("kernel, HTTP, client", "receive", "decode", "predict", "labels", "hand over, queue, answer")
REQUESTS_AT_LEAST = 20
WARM_UP = 5


def requests() -> dict[str, bytes]:
    """What is posted, by name."""
    photos = photographs()
    as_form = b"multipart/form-data; boundary=" + BOUNDARY
    return {
        "451x300, 35 kB, raw": request(photos["451x300"], b"image/jpeg"),
        "451x300, 35 kB, form": request(form(photos["451x300"]), as_form),
        "1 MP, 0.25 MB, form": request(form(photos["1 MP"]), as_form),
        "12 MP, 4.3 MB, form": request(form(photos["12 MP, detailed"]), as_form),
    }


class Accounts:
    """The seconds of each stage, request by request, of requests that come one by one."""

    def __init__(self) -> None:
        self.records: list[dict[str, float]] = []
        self._open = False

    def handler(self, classify: Callable[..., Any]) -> Callable[..., Any]:
        """The whole of a request, as far as it is ours."""

        async def timed(*arguments: Any) -> Any:
            self.records.append(defaultdict(float))
            self._open, began_s = True, time.perf_counter()
            try:
                return await classify(*arguments)
            finally:
                self._open = False
                self.records[-1]["handler"] = time.perf_counter() - began_s

        return timed

    def awaited(self, stage: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """A stage that is a coroutine."""

        async def timed(*arguments: Any, **options: Any) -> Any:
            began_s = time.perf_counter()
            try:
                return await call(*arguments, **options)
            finally:
                self._add(stage, time.perf_counter() - began_s)

        return timed

    def called(self, stage: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """A stage that is a function, in whatever thread."""

        def timed(*arguments: Any, **options: Any) -> Any:
            began_s = time.perf_counter()
            try:
                return call(*arguments, **options)
            finally:
                self._add(stage, time.perf_counter() - began_s)

        return timed

    def _add(self, stage: str, seconds: float) -> None:
        if self._open:  # not while warming up
            self.records[-1][stage] += seconds


def serve_timed(arguments: Sequence[str], file: Path) -> None:
    """Be `p2p worker` with every stage timed, and write the accounts at the end."""
    from p2pclient.__main__ import main as p2p
    from worker.inference.model import Model
    from worker.protocols.article import Article
    from worker.web.body_budget import Receiving

    accounts: Any = Accounts()
    wrapped: Any = (Article, Receiving, Model)
    article, receiving, model = wrapped
    article.answer = accounts.handler(article.answer)
    receiving.pieces = accounts.awaited("receive", receiving.pieces)
    model.decode = accounts.called("decode", model.decode)
    model.predict = accounts.called("predict", model.predict)
    model.top = accounts.called("labels", model.top)
    sys.argv = ["p2p", "worker", *arguments]
    try:
        p2p()
    finally:
        file.write_text(json.dumps(accounts.records))


async def post_for(port: int, message: bytes, seconds: float) -> list[float]:
    """Post one after another; the seconds of each."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    took: list[float] = []
    until_s = time.perf_counter() + seconds
    while time.perf_counter() < until_s or len(took) < REQUESTS_AT_LEAST:
        began_s = time.perf_counter()
        writer.write(message)
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readline()
        took.append(time.perf_counter() - began_s)
        if b" 200 " not in head:
            raise RuntimeError(f"the worker answered {head!r}")
    writer.close()
    return took


def rows(took: Mapping[str, list[float]], records: Sequence[Mapping[str, float]]) -> dict[str, list[float]]:
    """Milliseconds of each stage of `STAGES`, by name of request; the records are in the order of the requests."""
    result, at = {}, 0
    for name, seconds in took.items():
        mine = records[at + WARM_UP : at + len(seconds)]
        at += len(seconds)
        stages = {s: statistics.median(r.get(s, 0.0) for r in mine) for s in ("receive", "decode", "predict", "labels")}
        handler = statistics.median(r["handler"] for r in mine)
        outside = statistics.median(seconds[WARM_UP:]) - handler
        parts = [outside, *stages.values(), handler - sum(stages.values())]
        result[name] = [max(0.0, part) * 1000 for part in parts]
    return result


def main() -> None:
    if sys.argv[1:2] == ["--be-the-worker"]:
        serve_timed(sys.argv[3:], Path(sys.argv[2]))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--model")
    parser.add_argument("--picture", type=Path)
    options = parser.parse_args()
    port, agent_port = free_port(), free_port()
    flags = ["--engine", options.engine, "--port", str(port), "--consul", f"http://127.0.0.1:{agent_port}"]
    flags += ["--drain", "0", *(("--model", options.model) if options.model else ())]
    with TemporaryDirectory() as folder, server([*P2P, "agent", "--port", str(agent_port)], core=None):
        file = Path(folder, "records.json")
        program = [sys.executable, "-m", "benchmarks.worker.profile_request", "--be-the-worker", str(file)]
        with server([*program, *flags], core=None):
            answers(f"http://127.0.0.1:{port}/readyz", within_s=300)
            took = {name: asyncio.run(post_for(port, m, options.seconds)) for name, m in requests().items()}
        table = rows(took, json.loads(file.read_text()))
    print("|", " | ".join(["ms", *STAGES, "in all"]), "|\n" + "| --- " * (len(STAGES) + 2) + "|")
    for name, parts in table.items():
        print("|", " | ".join([name, *(f"{part:.2f}" for part in parts), f"{sum(parts):.1f}"]), "|")
    if options.picture:
        options.picture.write_text(picture(table, STAGES, cores=os.cpu_count() or 1))


if __name__ == "__main__":
    main()
