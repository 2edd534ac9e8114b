"""The worker beside the bare loop and beside rivals: throughput, lone requests, open loop, overload.

    python -m benchmarks.worker [--engine onnx] [--rounds 3] [--seconds 4] [--only NAME]... [--quick]

One SavedModel, the same JPEGs, all processes and the load on the same unpinned cores. In each round every contestant
is started, warmed, measured and stopped in turn, so that none has neighbours; medians over the rounds count. Table (a)
has one engine and one decoder in all, each framework in its best documented configuration; table (b) is what each
one's quickstart gives. Rivals are installed on first use, each into an environment of its own in the cache folder.
Prints Markdown. Takes 20 to 25 minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from benchmarks import worker_report as report
from benchmarks.contest import P2P, answers, free_port, server
from benchmarks.loadgen import Answer, closed, opened
from benchmarks.rivals.contestant import Contestant, NotRunning, Running, contestant, memory_mb, rivals, running
from benchmarks.spread import percentile
from benchmarks.worker_report import OURS, Ceiling, Flood, Paced, Sample, Standing

CACHE = Path.home() / ".cache" / "p2p-serving"
CAT = Path(__file__).parents[1] / "deploy" / "cat.jpg"
SHARES = (0.5, 0.8, 0.95)
WARM_S = 1.5
REFUSALS = (429, 503)
FLOOD_WARM_S = 4.0
"""Until the queue of the flooded worker is full, and it answers and refuses at a steady rate."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """What all contestants share."""

    images: Sequence[Path]
    folder: Path
    label: str
    seconds: float
    rounds: int

    @contextmanager
    def on(self, who: Contestant) -> Iterator[Running]:
        """A contestant, started and warm."""
        with running(who, self.images, label=self.label, log=self.folder / f"{who.name}.log") as now:
            closed(now.target, connections=16, seconds=WARM_S)
            yield now


def ours(model: Path, engine: str, consul: str) -> Contestant:
    """The worker, as a user starts it."""
    flags = ["--model", str(model), "--engine", engine, "--port", "{port}", "--consul", consul]
    return Contestant(name=OURS, command=(*P2P, "worker", *flags), path="/", body="raw")


def entrants(
    options: argparse.Namespace, model: Path, consul: str, *, shared: bool
) -> tuple[list[Contestant], dict[str, Standing]]:
    """The contestants of one table, and a standing for each; those that cannot be installed have only that."""
    engine = options.engine if shared else None
    field = [ours(model, engine or options.box_engine, consul)]
    standings = {OURS: Standing()}
    for rival in rivals():
        if options.only and rival.name not in options.only:
            continue
        standings[rival.name] = Standing()
        try:
            field.append(contestant(rival, model=model, engine=engine, cache=CACHE))
        except NotRunning as error:
            standings[rival.name].reason = str(error)
    return field, standings


def measure_ceiling(
    model: Path, engine: str, images: Sequence[Path], *, seconds: float, like: Ceiling | None
) -> Ceiling:
    """The bare loop, in a process of its own."""
    options = ["--model", str(model), "--engine", engine, "--seconds", str(seconds)]
    if like:
        options += ["--batch", str(like.batch), *(["--ahead"] if like.ahead else [])]
    command = [sys.executable, "-m", "benchmarks.ceiling", *options, *map(str, images)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"The bare loop does not run: {done.stderr.strip()[-800:]}")
    return Ceiling(**json.loads(done.stdout.splitlines()[-1]))


def sample(now: Running, clients: Sequence[int], seconds: float) -> Sample:
    """One contestant in one round."""
    alone = closed(now.target, connections=1, seconds=seconds)
    crowds = {n: closed(now.target, connections=n, seconds=seconds, warm_s=0.5) for n in clients}
    loads = [alone, *crowds.values()]
    others = sum(len(load.answers) - load.count(200) for load in loads)
    per_s = {n: load.per_s() for n, load in crowds.items()}
    return Sample(alone.ms(0.5), per_s, others, memory_mb(now.pid))


def hold_round(
    stage: Stage, field: Sequence[Contestant], standings: Mapping[str, Standing], clients: Sequence[int]
) -> None:
    """Every contestant in turn; one that fails is out from then on, and its standing says why."""
    for who in field:
        standing = standings[who.name]
        if standing.reason:
            continue
        try:
            with stage.on(who) as now:
                standing.samples.append(sample(now, clients, stage.seconds))
        except NotRunning as error:
            standing.reason = str(error)
        _say(f"{who.name}: {standing.reason or standing.samples[-1]}")


def pace(stage: Stage, field: Sequence[Contestant], top_per_s: float, *, seconds: float) -> list[Paced]:
    """Open loop at shares of the ceiling, the contestants in turn in every round."""
    found: dict[tuple[str, float], list[Answer]] = {(who.name, share): [] for share in SHARES for who in field}
    for number in range(stage.rounds):
        for who in field:
            with stage.on(who) as now:
                for share in SHARES:
                    load = opened(now.target, rate_hz=share * top_per_s, seconds=seconds, warm_s=1, seed=number)
                    found[who.name, share] += load.answers
            _say(f"open loop: {who.name}")
    return [_paced(name, share, answers) for (name, share), answers in found.items()]


def flood(stage: Stage, who: Contestant, top_per_s: float, *, seconds: float) -> Flood:
    """Three times as many requests as the bare loop could answer."""
    with stage.on(who) as now:
        closed(now.target, connections=64, seconds=stage.seconds)
        opened(now.target, rate_hz=3 * top_per_s, seconds=FLOOD_WARM_S)
        before_mb = memory_mb(now.pid)
        load = opened(now.target, rate_hz=3 * top_per_s, seconds=seconds, warm_s=FLOOD_WARM_S)
        after_mb = memory_mb(now.pid)
    refused = load.count(*REFUSALS)
    others = len(load.answers) - load.count(200) - refused
    _say(f"flood: the load took {load.spent_s / (seconds + FLOOD_WARM_S):.1%} of a core")
    return Flood(load.per_s(), refused, load.ms(0.99, *REFUSALS), others, before_mb, after_mb)


def _paced(name: str, share: float, answers: Sequence[Answer]) -> Paced:
    good = [answer.ms for answer in answers if answer.status == 200]
    p50_ms, p99_ms = (percentile(good, at) if good else float("nan") for at in (0.5, 0.99))
    return Paced(name, share, p50_ms, p99_ms, len(answers), len(answers) - len(good))


def measure(options: argparse.Namespace, model: Path, consul: str, folder: Path) -> Iterator[str]:
    """All of it, as one piece of Markdown after the other."""
    images = options.image or [CAT]
    yield machine()
    first = measure_ceiling(model, options.engine, images, seconds=options.seconds, like=None)
    _say(f"bare loop: {first}")
    stage = Stage(images=images, folder=folder, label=first.label, seconds=options.seconds, rounds=options.rounds)
    ceilings: list[Ceiling] = []
    bars: list[report.Bar] = []

    field, shared = entrants(options, model, consul, shared=True)
    for _ in range(stage.rounds):
        args = (model, options.engine, images)
        ceilings.append(measure_ceiling(*args, seconds=options.seconds, like=first))
        hold_round(stage, field, shared, (16, 64))
    yield f"## (a) The same engine ({options.engine}, bare loop in batches of {first.batch}) and decoder in all"
    yield report.contest_table(shared, ceilings, (16, 64))
    if not shared[OURS].samples:
        return
    bars += report.ceiling_bars(shared, ceilings, (16, 64))
    bars += report.rival_bars(shared, table="(a)", flask_times=None)

    top_per_s = statistics.median(one.per_s for one in ceilings)
    finalists = [who for who in field if who.name in (OURS, report.best_rival(shared))]
    yield "## Open loop, on the engine of (a)"
    try:
        paced = pace(stage, finalists, top_per_s, seconds=options.seconds * 2)
        yield report.paced_table(paced)
        bars += report.paced_bars(paced)
        bars += report.flood_bars(flood(stage, field[0], top_per_s, seconds=options.seconds * 3), top_per_s)
    except NotRunning as error:
        yield f"Not measured: {error}"

    field, boxed = entrants(options, model, consul, shared=False)
    for _ in range(stage.rounds):
        hold_round(stage, field, boxed, (16,))
    yield f"## (b) As each comes out of the box; p2p worker with --engine {options.box_engine}"
    yield report.contest_table(boxed, [], (16,))
    bars += report.rival_bars(boxed, table="(b)", flask_times=3)
    yield "## Bars"
    yield report.bar_table(bars)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--engine", default="onnx", help="of table (a) and the bare loop")
    parser.add_argument("--box-engine", default="auto", help="of the worker in table (b)")
    parser.add_argument("--model", type=Path, help="a SavedModel's folder; the worker's default model if not given")
    parser.add_argument("--image", type=Path, action="append", help="a JPEG to send; several go in turn")
    parser.add_argument("--only", action="append", metavar="NAME", help="this rival; may be repeated")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--quick", action="store_true", help="one round of a second each: does everything run?")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.seconds = 1, 1.0
    from worker.imagenet import exported

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


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
