"""The contests of `benchmarks.worker`: who takes part in which table, and the sections that come out.

Table (a): all contestants have the same engine and decoder. Table (b): each runs as its quickstart has it.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path

from benchmarks.harness.inputs import CACHE
from benchmarks.harness.p2p import P2P
from benchmarks.harness.rounds import progress
from benchmarks.rivals.contestant import Contestant, NotRunning, Rival, contestant, environ_of, rivals
from benchmarks.worker import report
from benchmarks.worker.bare_loop_process import bare_loop
from benchmarks.worker.open_loop import measure_open_loop, measure_overload
from benchmarks.worker.report import BARE_SOCKET, OURS, OURS_BF16, Bar, Result
from benchmarks.worker.side_by_side import MANY_CLIENTS, Contest
from worker.engines.frameworks import framework
from worker.system.cpu import processor

CLIENTS = (MANY_CLIENTS, 64)
ALONE = " (set for one client)"


@dataclass
class Table:
    """The contestants of one table.

    loops:   the results of each schedule of the bare loop
    results: of each contestant; one that cannot be installed has only this
    loads:   with how many clients each contestant takes turns
    """

    clients: tuple[int, ...]
    loops: dict[str, Result]
    contestants: list[Contestant] = field(default_factory=list)
    results: dict[str, Result] = field(default_factory=dict)
    loads: dict[str, tuple[int, ...]] = field(default_factory=dict)

    def add(self, who: Contestant, loads: tuple[int, ...]) -> None:
        """Add a contestant."""
        self.contestants.append(who)
        self.results[who.name] = Result()
        self.loads[who.name] = loads


def measure(options: argparse.Namespace, consul_url: str, folder: Path) -> Iterator[str]:
    """All sections of the report, in Markdown."""
    yield machine()
    with bare_loop(options.model, options.engine, options.image, log=folder / "bare.log") as bare:
        progress(f"bare loop, images per second: {bare.tried}")
        contest = Contest(
            bare=bare, images=options.image, folder=folder, seconds=options.seconds, rounds=options.rounds
        )
        bars: list[Bar] = []
        yield from shared_engine(contest, _table(options, consul_url, bare.schedules, shared=True), bars)
        yield from out_of_the_box(contest, _table(options, consul_url, bare.schedules, shared=False), bars)
    yield "## Bars"
    yield report.bar_table(bars)


def shared_engine(contest: Contest, table: Table, bars: list[Bar]) -> Iterator[str]:
    """Table (a), then open loop and overload for the worker and the best rival in it."""
    with contest.started(table.contestants, table.results) as servers:
        contest.take_turns(servers, table.results, table.loops, table.loads)
        yield "## (a) The same engine and decoder in all"
        yield report.contest_table(table.results, table.loops, table.clients)
        if table.results[OURS].reason:
            return
        bars += report.ceiling_bars(table.results, table.loops, table.clients)
        bars += report.rival_bars(table.results, table="(a)", flask_times=None)
        best = {name: servers[name] for name in (OURS, report.best_rival(table.results)) if name}
        schedule = report.best_schedule(table.loops, MANY_CLIENTS)
        yield "## Open loop, on the engine of (a)"
        open_loops = measure_open_loop(contest, best, schedule)
        yield report.open_loop_table(open_loops)
        bars += report.open_loop_bars(open_loops)
        yield "## Overload at three times the bare loop, on the engine of (a)"
        overloads = measure_overload(contest, best, schedule)
        yield report.overload_table(overloads)
        bars += report.overload_bars(next(one for one in overloads if one.name == OURS))


def out_of_the_box(contest: Contest, table: Table, bars: list[Bar]) -> Iterator[str]:
    """Table (b)."""
    with contest.started(table.contestants, table.results) as servers:
        contest.take_turns(servers, table.results, table.loops, table.loads)
    yield "## (b) As each comes out of the box; p2p worker with its `--box-engine`"
    yield report.contest_table(table.results, table.loops, table.clients)
    if not table.results[OURS].reason:
        bars += report.rival_bars(table.results, table="(b)", flask_times=3)


def machine() -> str:
    """The machine, the date, and how busy the machine was before the start."""
    found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    kind = found[1] if found else "unknown kind"
    cores, load = len(os.sched_getaffinity(0)), os.getloadavg()[0]
    return f"{cores} cores of {kind}, {date.today()}, load {load:.1f} before the start."


def _table(options: argparse.Namespace, consul_url: str, schedules: tuple[str, ...], *, shared: bool) -> Table:
    """Table (a) if the engine is shared, else table (b).

    A rival whose settings for one client differ from those for many takes part in (a) twice.
    """
    clients = CLIENTS if shared else (MANY_CLIENTS,)
    table = Table(clients, {schedule: Result() for schedule in schedules})
    engine = options.engine if shared else options.box_engine
    table.add(_ours(options.model, engine, consul_url), (1, *clients))
    if not shared and _has_bf16():
        faster = ("--engine", "openvino", "--precision", "bf16")
        table.add(_ours(options.model, engine, consul_url, *faster, name=OURS_BF16), (1, *clients))
    if shared:
        table.add(_bare_socket(options.model, options.engine), (1,))
    for rival in rivals():
        if options.only and rival.name not in options.only:
            continue
        try:
            _add(table, rival, options.model, options.engine if shared else None)
        except NotRunning as error:
            table.results[rival.name] = Result(reason=str(error))
    return table


def _has_bf16() -> bool:
    """Whether the processor computes in bf16, and the engine that uses it is installed."""
    return "bf16" in processor() and framework("openvino").installed


def _ours(model: Path, engine: str, consul_url: str, *more: str, name: str = OURS) -> Contestant:
    """The worker, as a user starts it; of a flag that is given twice, the one of `more` holds."""
    flags = ["--model", str(model), "--engine", engine, "--port", "{port}", "--consul", consul_url, *more]
    return Contestant(name=name, command=(*P2P, "worker", *flags), path="/", body="raw")


def _bare_socket(model: Path, engine: str) -> Contestant:
    """The least latency of a lone client."""
    command = (sys.executable, "-m", "benchmarks.rivals.bare_socket", "{port}")
    environ = environ_of(model, engine, {"threads": 0})
    return Contestant(name=BARE_SOCKET, command=command, path="/", body="raw", environ=environ)


def _add(table: Table, rival: Rival, model: Path, engine: str | None) -> None:
    who = contestant(rival, model=model, engine=engine, cache=CACHE)
    if engine is None or rival.alone == rival.settings:
        table.add(who, (1, *table.clients))
        return
    table.add(who, table.clients)
    alone = contestant(rival, model=model, engine=engine, cache=CACHE, settings=rival.alone)
    table.add(replace(alone, name=rival.name + ALONE), (1,))
