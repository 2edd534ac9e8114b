"""What a cascade saves: the default model only where the same network at 128 pixels is unsure.

    python -m benchmarks.worker.cascade [--seconds 5] [--rounds 3] [--crops 200]

The images are crops of the photos that scikit-image and scikit-learn ship, of random places and sizes, as JPEGs; the
same at every run. Three workers serve: the small network, the large one, and a cascade of both for each threshold. For
each: images per second over 16 connections, in turns; how many images the large network sees; how often the best label
is the large network's own. `allowed` is the rate that the steps' own rates allow, 1 / (1 / small + share / large):
all of it runs on the same cores.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.request import Request, urlopen

from benchmarks.harness.connections import Target
from benchmarks.harness.inputs import default_model
from benchmarks.harness.load_generator import closed_loop
from benchmarks.harness.p2p import ROOT, Running, agent, worker
from benchmarks.harness.requests import post
from benchmarks.harness.summary import markdown_table
from benchmarks.worker.photo_crops import crops, photos

CONNECTIONS = 16
SMALL_EDGE = 128
THRESHOLDS = (0.3, 0.5, 0.7)
WITHIN_S = 300.0

_MAKE_SMALL = f"""
import pathlib, sys
from worker.default_model import efficientnet_lite0, export
efficientnet_lite0.EDGE = {SMALL_EDGE}
export.make(pathlib.Path(sys.argv[1]))
"""


@contextmanager
def small_model() -> Iterator[Path]:
    """The default network for images of 128 pixels, exported into a folder that is removed afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder, "small")
        made.mkdir()
        subprocess.run([sys.executable, "-c", _MAKE_SMALL, made], check=True, cwd=ROOT)
        yield made


def cascade_file(folder: Path, threshold: float) -> Path:
    """The file of a cascade with this threshold."""
    file = folder / f"below-{threshold}.toml"
    file.write_text(
        '[steps.small]\nservice = "small"\ntop = 1\n'
        f'[steps.large]\nservice = "large"\ntop = 5\nwhen = {{ step = "small", below = {threshold} }}\n'
    )
    return file


def best_labels(server: Running, images: Sequence[bytes]) -> tuple[list[str], float]:
    """The best label of each image, and for a cascade the share of them that its large network saw."""
    labels, seen = [], 0
    for image in images:
        request = Request(f"{server.url}/?top=1", data=image, headers={"Content-Type": "image/jpeg"})
        with urlopen(request) as answer:
            labels.append(json.load(answer)[0][0])
            seen += "large;dur" in answer.headers.get("Server-Timing", "")
    return labels, seen / len(images)


def rate(server: Running, requests: Sequence[bytes], seconds: float) -> float:
    """Images per second."""
    load = closed_loop(Target(server.port, tuple(requests)), connections=CONNECTIONS, seconds=seconds)
    if load.count(200) != len(load.answers):
        raise RuntimeError(f"not all answers had the status 200: {sorted({a.status for a in load.answers})}")
    return load.per_s()


def rows(servers: Mapping[str, Running], images: Sequence[bytes], *, seconds: float, rounds: int) -> list[list[str]]:
    """A row for each server."""
    requests = [post(image, "image/jpeg") for image in images]
    said = {name: best_labels(server, images) for name, server in servers.items()}
    rates: dict[str, list[float]] = {name: [] for name in servers}
    for number in range(rounds):
        for name in list(servers)[:: 1 if number % 2 else -1]:
            rates[name].append(rate(servers[name], requests, seconds))
    median = {name: statistics.median(values) for name, values in rates.items()}
    reference = said["large"][0]
    table = []
    for name in servers:
        labels, share = said[name]
        agreed = sum(a == b for a, b in zip(labels, reference, strict=True)) / len(images)
        allowed = 1 / (1 / median["small"] + share / median["large"])
        cascade = name not in ("small", "large")
        table.append([
            name,
            f"{median[name]:.0f}",
            f"{median[name] / median['large']:.2f}",
            f"{share:.0%}" if cascade else "",
            f"{median[name] / allowed:.2f}" if cascade else "",
            f"{agreed:.3f}",
        ])  # fmt: skip
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--crops", type=int, default=200)
    options = parser.parse_args()
    with ExitStack() as stack:
        consul = stack.enter_context(agent(core=None))
        small = stack.enter_context(small_model())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))

        def serve(name: str, *flags: str) -> Running:
            flags = ("--service", name, *flags)
            return stack.enter_context(worker(consul.url, *flags, engine="auto", core=None, within_s=WITHIN_S))

        servers = {
            "small": serve("small", "--model", str(small)),
            "large": serve("large", "--model", str(default_model())),
        }
        registry = consul.url.replace("http://", "consul://")
        for threshold in THRESHOLDS:
            flags = ("--cascade", str(cascade_file(folder, threshold)), "--registry", registry)
            servers[f"large below {threshold}"] = serve(f"below-{threshold:.0%}".rstrip("%"), *flags)
        table = rows(
            servers, crops(list(photos().values()), options.crops), seconds=options.seconds, rounds=options.rounds
        )
    head = ["", "images a second", "x large", "seen by large", "x allowed", "agrees with large"]
    print(markdown_table(head, table))


if __name__ == "__main__":
    main()
