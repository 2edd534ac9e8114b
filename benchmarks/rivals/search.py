"""Which of the documented settings of each rival are its fastest on this machine.

    python -m benchmarks.rivals.search [--engine onnx] [--rounds 3] [--seconds 1] [--only NAME]...

All variants in a rival's file run at the same time, paused, and take short turns with the bare loop, as in
`benchmarks.worker`. Prints a table per rival, sorted by answers per second at 16 clients, with the ratio to the bare
loop of the same round. The first row belongs into the file as `settings`, the row with the least p50 alone as `alone`.
Takes two to three minutes per rival.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from benchmarks.harness.inputs import CACHE, PHOTO, default_model
from benchmarks.rivals.contestant import NotRunning, Rival, contestant, rivals
from benchmarks.worker.bare_loop_process import bare_loop
from benchmarks.worker.report import Result, contest_table
from benchmarks.worker.side_by_side import MANY_CLIENTS, Contest, exit_on_sigterm


def search(contest: Contest, rival: Rival, model: Path, engine: str) -> str:
    """The table of one rival."""
    try:
        variants = [
            replace(contestant(rival, model=model, engine=engine, cache=CACHE, settings=one), name=_words(one))
            for one in rival.variants
        ]
    except NotRunning as error:
        return str(error)
    results = {who.name: Result() for who in variants}
    loops = {schedule: Result() for schedule in contest.bare.schedules}
    with contest.started(variants, results) as servers:
        contest.take_turns(servers, results, loops, {who.name: (1, MANY_CLIENTS) for who in variants})
    return contest_table(results, loops, (MANY_CLIENTS,))


def _words(settings: object) -> str:
    return json.dumps(settings).strip("{}").replace('"', "").replace(":", "")


def tables(options: argparse.Namespace, model: Path, folder: Path) -> Iterator[str]:
    """A heading and a table for each rival."""
    with bare_loop(model, options.engine, [PHOTO], log=folder / "bare.log") as bare:
        contest = Contest(bare=bare, images=[PHOTO], folder=folder, seconds=options.seconds, rounds=options.rounds)
        for rival in rivals():
            if not options.only or rival.name in options.only:
                yield f"## {rival.name}"
                yield search(contest, rival, model, options.engine)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--engine", default="onnx")
    parser.add_argument("--model", type=Path, help="a SavedModel's folder; the worker's default model if not given")
    parser.add_argument("--only", action="append", metavar="NAME", help="this rival; may be repeated")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1)
    options = parser.parse_args()
    exit_on_sigterm()
    with tempfile.TemporaryDirectory() as folder:
        for piece in tables(options, options.model or default_model(), Path(folder)):
            print(f"{piece}\n", flush=True)


if __name__ == "__main__":
    main()
