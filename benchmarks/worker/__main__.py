"""The worker beside the bare loop and beside rivals: throughput, lone requests, open loop, overload.

    python -m benchmarks.worker [--engine onnx] [--rounds 6] [--seconds 1.5] [--only NAME]... [--quick]

One SavedModel, the same JPEGs, all processes and the load on the same unpinned cores. All contestants of a table stand
side by side, paused; in each round they and the bare loop take a short turn one after the other. Table (a) has one
engine and one decoder in all, each framework with the settings that `benchmarks.rivals.search` found fastest; table (b)
is what each one's quickstart gives. Rivals are installed on first use, each into an environment of its own in the cache
folder. Prints Markdown. Takes 20 to 25 minutes.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path

from benchmarks.harness.rounds import P2P, answers, free_port, server
from benchmarks.harness.turns import CROWD, Stage, end_whole, say
from benchmarks.rivals.contestant import Contestant, NotRunning, Rival, contestant, environ_of, rivals
from benchmarks.worker import report
from benchmarks.worker.bare_loop_process import bare_loop
from benchmarks.worker.open_loop import flood, pace
from benchmarks.worker.report import FLOOR, OURS, Bar, Standing

CACHE = Path.home() / ".cache" / "p2p-serving"
CAT = Path(__file__).parents[2] / "deploy" / "cat.jpg"
CROWDS = (CROWD, 64)
ALONE = " (set for one client)"


@dataclass
class Table:
    """The contestants of one table, a standing for each, and how many clients each meets in its turns.

    Those that cannot be installed have only a standing. The bare loop has a standing for each of its ways.
    """

    crowds: tuple[int, ...]
    loops: dict[str, Standing]
    contestants: list[Contestant] = field(default_factory=list)
    standings: dict[str, Standing] = field(default_factory=dict)
    clients: dict[str, tuple[int, ...]] = field(default_factory=dict)

    def add(self, who: Contestant, clients: tuple[int, ...]) -> None:
        """One more contestant."""
        self.contestants.append(who)
        self.standings[who.name] = Standing()
        self.clients[who.name] = clients


def ours(model: Path, engine: str, consul: str) -> Contestant:
    """The worker, as a user starts it."""
    flags = ["--model", str(model), "--engine", engine, "--port", "{port}", "--consul", consul]
    return Contestant(name=OURS, command=(*P2P, "worker", *flags), path="/", body="raw")


def floor(model: Path, engine: str) -> Contestant:
    """What a lone client waits for at least."""
    command = (sys.executable, "-m", "benchmarks.rivals.bare_socket", "{port}")
    environ = environ_of(model, engine, {"threads": 0})
    return Contestant(name=FLOOR, command=command, path="/", body="raw", environ=environ)


def table_of(options: argparse.Namespace, model: Path, consul: str, ways: tuple[str, ...], *, shared: bool) -> Table:
    """Table (a) if the engine is shared, else table (b).

    A rival that answers a lone client sooner with other settings than those for a crowd stands in (a) twice.
    """
    crowds = CROWDS if shared else (CROWD,)
    table = Table(crowds, {way: Standing() for way in ways})
    table.add(ours(model, options.engine if shared else options.box_engine, consul), (1, *crowds))
    if shared:
        table.add(floor(model, options.engine), (1,))
    for rival in rivals():
        if options.only and rival.name not in options.only:
            continue
        try:
            _add(table, rival, model, options.engine if shared else None)
        except NotRunning as error:
            table.standings[rival.name] = Standing(reason=str(error))
    return table


def _add(table: Table, rival: Rival, model: Path, engine: str | None) -> None:
    who = contestant(rival, model=model, engine=engine, cache=CACHE)
    if engine is None or rival.alone == rival.settings:
        table.add(who, (1, *table.crowds))
        return
    table.add(who, table.crowds)
    alone = contestant(rival, model=model, engine=engine, cache=CACHE, settings=rival.alone)
    table.add(replace(alone, name=rival.name + ALONE), (1,))


def measure(options: argparse.Namespace, model: Path, consul: str, folder: Path) -> Iterator[str]:
    """All of it, as one piece of Markdown after the other."""
    images = options.image or [CAT]
    yield machine()
    with bare_loop(model, options.engine, images, log=folder / "bare.log") as bare:
        say(f"bare loop, images a second: {bare.tried}")
        stage = Stage(bare=bare, images=images, folder=folder, seconds=options.seconds, rounds=options.rounds)
        bars: list[Bar] = []
        yield from shared_engine(stage, table_of(options, model, consul, bare.ways, shared=True), bars)
        yield from out_of_the_box(stage, table_of(options, model, consul, bare.ways, shared=False), bars)
    yield "## Bars"
    yield report.bar_table(bars)


def shared_engine(stage: Stage, table: Table, bars: list[Bar]) -> Iterator[str]:
    """Table (a), and open loop and overload for the worker and the best rival in it."""
    with stage.standing(table.contestants, table.standings) as up:
        stage.contest(up, table.standings, table.loops, table.clients)
        yield "## (a) The same engine and decoder in all"
        yield report.contest_table(table.standings, table.loops, table.crowds)
        if table.standings[OURS].reason:
            return
        bars += report.ceiling_bars(table.standings, table.loops, table.crowds)
        bars += report.rival_bars(table.standings, table="(a)", flask_times=None)
        finalists = {name: up[name] for name in (OURS, report.best_rival(table.standings)) if name}
        way = report.top(table.loops, CROWD)
        yield "## Open loop, on the engine of (a)"
        paced = pace(stage, finalists, way)
        yield report.paced_table(paced)
        bars += report.paced_bars(paced)
        yield "## Overload at three times the bare loop, on the engine of (a)"
        floods = flood(stage, finalists, way)
        yield report.flood_table(floods)
        bars += report.flood_bars(next(one for one in floods if one.name == OURS))


def out_of_the_box(stage: Stage, table: Table, bars: list[Bar]) -> Iterator[str]:
    """Table (b)."""
    with stage.standing(table.contestants, table.standings) as up:
        stage.contest(up, table.standings, table.loops, table.clients)
    yield "## (b) As each comes out of the box; p2p worker with its `--box-engine`"
    yield report.contest_table(table.standings, table.loops, table.crowds)
    if not table.standings[OURS].reason:
        bars += report.rival_bars(table.standings, table="(b)", flask_times=3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--engine", default="onnx", help="of table (a) and the bare loop")
    parser.add_argument("--box-engine", default="auto", help="of the worker in table (b)")
    parser.add_argument("--model", type=Path, help="a SavedModel's folder; the worker's default model if not given")
    parser.add_argument("--image", type=Path, action="append", help="a JPEG to send; several go in turn")
    parser.add_argument("--only", action="append", metavar="NAME", help="this rival; may be repeated")
    parser.add_argument("--rounds", type=int, default=6, help="turns of each kind for everybody")
    parser.add_argument("--seconds", type=float, default=1.5, help="of a turn")
    parser.add_argument("--quick", action="store_true", help="one round of half a second: does everything run?")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.seconds = 1, 0.5
    from worker.default_model.export import exported

    end_whole()
    model = options.model or exported(CACHE)
    port = free_port()
    consul = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as folder, server([*P2P, "agent", "--port", str(port)], core=None):
        answers(f"{consul}/v1/agent/self")
        for piece in measure(options, model, consul, Path(folder)):
            print(f"{piece}\n", flush=True)


def machine() -> str:
    """Where and when this was measured, and how busy the machine was before."""
    found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    cores = len(os.sched_getaffinity(0))
    load = os.getloadavg()[0]
    return (
        f"{cores} cores of {found[1] if found else 'unknown kind'}, {date.today()}, load {load:.1f} before the start."
    )


if __name__ == "__main__":
    main()
