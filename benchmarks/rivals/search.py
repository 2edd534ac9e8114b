"""Which documented settings of each rival are its fastest on this machine: all variants in its file, side by side.

    python -m benchmarks.rivals.search [--engine onnx] [--rounds 3] [--seconds 1] [--only NAME]...

The variants of one rival stand side by side, paused, and take short turns with the bare loop, as in
`benchmarks.worker`. Prints a table a rival, by answers a second at 16 clients beside the bare loop's of the same
round. The first of it belongs into the file as `settings`, the one with the least p50 alone as `alone`.
Takes two to three minutes a rival.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from benchmarks.harness.turns import CROWD, Stage, end_whole
from benchmarks.rivals.contestant import NotRunning, Rival, contestant, rivals
from benchmarks.worker.__main__ import CACHE, CAT
from benchmarks.worker.bare_loop_process import bare_loop
from benchmarks.worker.report import Standing, contest_table


def search(stage: Stage, rival: Rival, model: Path, engine: str) -> str:
    """The table of one rival."""
    try:
        field = [
            replace(contestant(rival, model=model, engine=engine, cache=CACHE, settings=one), name=_words(one))
            for one in rival.variants
        ]
    except NotRunning as error:
        return str(error)
    standings = {who.name: Standing() for who in field}
    loops = {way: Standing() for way in stage.bare.ways}
    with stage.standing(field, standings) as up:
        stage.contest(up, standings, loops, {who.name: (1, CROWD) for who in field})
    return contest_table(standings, loops, (CROWD,))


def _words(settings: object) -> str:
    return json.dumps(settings).strip("{}").replace('"', "").replace(":", "")


def tables(options: argparse.Namespace, model: Path, folder: Path) -> Iterator[str]:
    """A heading and a table for each rival."""
    with bare_loop(model, options.engine, [CAT], log=folder / "bare.log") as bare:
        stage = Stage(bare=bare, images=[CAT], folder=folder, seconds=options.seconds, rounds=options.rounds)
        for rival in rivals():
            if not options.only or rival.name in options.only:
                yield f"## {rival.name}"
                yield search(stage, rival, model, options.engine)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--engine", default="onnx")
    parser.add_argument("--model", type=Path, help="a SavedModel's folder; the worker's default model if not given")
    parser.add_argument("--only", action="append", metavar="NAME", help="this rival; may be repeated")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1)
    options = parser.parse_args()
    from worker.default_model.export import exported

    end_whole()
    with tempfile.TemporaryDirectory() as folder:
        for piece in tables(options, options.model or exported(CACHE), Path(folder)):
            print(f"{piece}\n", flush=True)


if __name__ == "__main__":
    main()
