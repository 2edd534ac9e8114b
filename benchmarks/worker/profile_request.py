"""The time that a lone request spends in each stage of the worker, as a table and a picture.

    python -m benchmarks.worker.profile_request [--seconds 5] [--engine auto] [--model PATH] [--picture FILE.svg]

A worker in a process of its own, whose stages are wrapped in timers, answers one client that posts one image after the
other. The table has the median of each stage. The time of a request outside its handler belongs to the kernel, the
HTTP parser and the client; the time of the handler outside the stages to hand-overs between threads, the queue and
writing the answer.
"""

from __future__ import annotations

import argparse
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

from benchmarks.harness.connections import Target
from benchmarks.harness.load_generator import closed_loop
from benchmarks.harness.p2p import agent, run_p2p
from benchmarks.harness.processes import free_port, get, server
from benchmarks.harness.requests import FORM_TYPE, form, post
from benchmarks.harness.summary import markdown_table
from benchmarks.plots import save_request_stages
from benchmarks.worker.parts.decode import photographs

STAGES = ("kernel, HTTP, client", "receive", "decode", "predict", "labels", "hand over, queue, answer")
WARM_UP = 5


def requests() -> dict[str, bytes]:
    """Requests by name."""
    photos = photographs()

    def as_form(photo: str) -> bytes:
        return post(form(photos[photo], "image/jpeg"), FORM_TYPE)

    return {
        "451x300, 35 kB, raw": post(photos["451x300"], "image/jpeg"),
        "451x300, 35 kB, form": as_form("451x300"),
        "1 MP, 0.25 MB, form": as_form("1 MP"),
        "12 MP, 4.3 MB, form": as_form("12 MP, detailed"),
    }


class StageTimes:
    """The seconds of each stage of each request; requests come one after the other."""

    def __init__(self) -> None:
        self.records: list[dict[str, float]] = []
        self._open = False

    def handler(self, classify: Callable[..., Any]) -> Callable[..., Any]:
        """Time the handler of a request, and begin its record."""

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
        """Time a stage that is a coroutine function."""

        async def timed(*arguments: Any, **options: Any) -> Any:
            began_s = time.perf_counter()
            try:
                return await call(*arguments, **options)
            finally:
                self._add(stage, time.perf_counter() - began_s)

        return timed

    def called(self, stage: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """Time a stage that is a function, in any thread."""

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
    """Run `p2p worker` with timers around every stage; write the records to `file` at the end."""
    from worker.inference.model import Model
    from worker.protocols.article import Article
    from worker.web.body_budget import BodyBudget

    times: Any = StageTimes()
    wrapped: Any = (Article, BodyBudget, Model)
    article, budget, model = wrapped
    article.answer = times.handler(article.answer)
    budget.pieces = times.awaited("receive", budget.pieces)
    model.decode = times.called("decode", model.decode)
    model.predict = times.called("predict", model.predict)
    model.stream = times.called("predict", model.stream)
    model.top = times.called("labels", model.top)
    try:
        run_p2p(["worker", *arguments])
    finally:
        file.write_text(json.dumps(times.records))


def request_s(port: int, request: bytes, seconds: float) -> list[float]:
    """Post one after the other; the seconds of each."""
    load = closed_loop(Target(port, (request,)), connections=1, seconds=seconds)
    if load.count(200) != len(load.everything):
        raise RuntimeError("not all answers had the status 200")
    if len(load.everything) < 2 * WARM_UP:
        raise RuntimeError(f"only {len(load.everything)} requests in {seconds:g} s: give more --seconds")
    return [answer.ms / 1000 for answer in load.everything]


def rows(took: Mapping[str, list[float]], records: Sequence[Mapping[str, float]]) -> dict[str, list[float]]:
    """Milliseconds of each stage of `STAGES`, by name of request.

    took: the seconds of each request, by name; `records` are those of all requests, in the same order
    """
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
    table = measure(options)
    cells = [[name, *(f"{part:.2f}" for part in parts), f"{sum(parts):.1f}"] for name, parts in table.items()]
    print(markdown_table(["ms", *STAGES, "in all"], cells))
    if options.picture:
        save_request_stages(options.picture, table, STAGES, cores=os.cpu_count() or 1)


def measure(options: argparse.Namespace) -> dict[str, list[float]]:
    """Start the timed worker and post all requests; the rows of the table."""
    port = free_port()
    with TemporaryDirectory() as folder, agent(core=None) as consul:
        file = Path(folder, "records.json")
        program = [sys.executable, "-m", "benchmarks.worker.profile_request", "--be-the-worker", str(file)]
        flags = ["--engine", options.engine, "--port", str(port), "--consul", consul.url, "--drain", "0"]
        flags += ["--model", options.model] if options.model else []
        with server([*program, *flags], core=None):
            get(f"http://127.0.0.1:{port}/readyz", within_s=300)
            took = {name: request_s(port, request, options.seconds) for name, request in requests().items()}
        return rows(took, json.loads(file.read_text()))


if __name__ == "__main__":
    main()
