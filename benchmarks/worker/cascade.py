"""What a cascade saves: the default model only where the same network at 128 pixels is unsure.

    python -m benchmarks.worker.cascade [--seconds 5] [--rounds 3] [--crops 200] [--connections 16]
        [--thresholds 0.3 0.5 0.7] [--apart]

The images are crops of the photos that scikit-image and scikit-learn ship, of random places and sizes, as JPEGs; the
same at every run. Workers serve the small network, the large one, and for each threshold three cascades of both: one
asks the first two workers ("services"), one has both models in its own process ("models"), one has the small model
and asks for the large one ("model-service"). For each: images per second over these connections, in turns; how many
images the large network sees; how often the best label is the large network's own. `x allowed` compares the rate with
what the steps' own rates allow on cores that all of them share, 1 / (1 / small + share / large). `ms of processor` is
the processor time of all servers per image, and its `x allowed` compares small + share * large with it; other
programs on the machine change that less than the rates.

With `--apart` the two networks' workers share one core, and the cascades that ask them have the other one with the load
generator, as on machines of their own: then `x allowed` says what asking over HTTP costs the throughput.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.request import Request, urlopen

from benchmarks.harness.affinity import CLIENT_CORE, SERVER_CORE, cores
from benchmarks.harness.connections import Target
from benchmarks.harness.inputs import default_model
from benchmarks.harness.load_generator import closed_loop
from benchmarks.harness.p2p import ROOT, Running, agent, worker
from benchmarks.harness.process_tree import spent_s
from benchmarks.harness.requests import post
from benchmarks.harness.summary import markdown_table
from benchmarks.worker.photo_crops import crops, photos

SMALL_EDGE = 128
TOPS = {"small": 1, "large": 5}  # how many labels a cascade asks the services for
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


def cascade_file(folder: Path, threshold: float, steps: Mapping[str, str]) -> Path:
    """The file of a cascade with this threshold; `steps` has what the small and the large step ask, as TOML."""
    file = folder / f"{folder.name}-{threshold}.toml"
    file.write_text(
        f"[steps.small]\n{steps['small']}\n"
        f'[steps.large]\n{steps["large"]}\nwhen = {{ step = "small", below = {threshold} }}\n'
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


class Cost(NamedTuple):
    """What serving costs, as the median of several rounds."""

    per_s: float
    processor_ms: float

    def with_share(self, share: float, large: Cost) -> Cost:
        """The least that a cascade can cost whose small step costs this, and whose `large` one sees a share."""
        return Cost(1 / (1 / self.per_s + share / large.per_s), self.processor_ms + share * large.processor_ms)


def cost(
    server: Running, requests: Sequence[bytes], servers: Iterable[Running], *, seconds: float, connections: int
) -> Cost:
    """Images per second, and the processor time that all `servers` spend per image, in ms."""
    before_s = sum(spent_s(each.pid) for each in servers)
    load = closed_loop(Target(server.port, tuple(requests)), connections=connections, seconds=seconds)
    after_s = sum(spent_s(each.pid) for each in servers)
    if load.count(200) != len(load.answers):
        raise RuntimeError(f"not all answers had the status 200: {sorted({a.status for a in load.answers})}")
    return Cost(load.per_s(), (after_s - before_s) * 1000 / load.count(200))


def costs(
    servers: Mapping[str, Running], images: Sequence[bytes], *, seconds: float, rounds: int, connections: int
) -> Mapping[str, Cost]:
    """What each server costs; they are measured in turns."""
    requests = [post(image, "image/jpeg") for image in images]
    found: dict[str, list[Cost]] = {name: [] for name in servers}
    for number in range(rounds):
        for name in list(servers)[:: 1 if number % 2 else -1]:
            each = cost(servers[name], requests, servers.values(), seconds=seconds, connections=connections)
            found[name].append(each)
    return {name: Cost(*map(statistics.median, zip(*turns, strict=True))) for name, turns in found.items()}


def rows(
    servers: Mapping[str, Running], images: Sequence[bytes], *, seconds: float, rounds: int, connections: int
) -> list[list[str]]:
    """A row for each server."""
    said = {name: best_labels(server, images) for name, server in servers.items()}
    found = costs(servers, images, seconds=seconds, rounds=rounds, connections=connections)
    reference = said["large"][0]
    table = []
    for name, (labels, share) in said.items():
        agreed = sum(a == b for a, b in zip(labels, reference, strict=True)) / len(images)
        own, least = found[name], found["small"].with_share(share, found["large"])
        cascade = name not in ("small", "large")
        table.append([
            name,
            f"{own.per_s:.0f}",
            f"{own.per_s / found['large'].per_s:.2f}",
            f"{share:.0%}" if cascade else "",
            f"{own.per_s / least.per_s:.2f}" if cascade else "",
            f"{own.processor_ms:.2f}",
            f"{least.processor_ms / own.processor_ms:.2f}" if cascade else "",
            f"{agreed:.3f}",
        ])  # fmt: skip
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--crops", type=int, default=200)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--thresholds", type=float, nargs="+", default=[0.3, 0.5, 0.7])
    parser.add_argument("--apart", action="store_true", help="cascades of services on another core than the services")
    options = parser.parse_args()
    with ExitStack() as stack:
        consul = stack.enter_context(agent(core=None))
        models = {"small": stack.enter_context(small_model()), "large": default_model()}
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))

        def serve(name: str, *flags: str, core: int) -> Running:
            flags = ("--service", name, *flags)
            own = core if options.apart else None
            return stack.enter_context(worker(consul.url, *flags, engine="auto", core=own, within_s=WITHIN_S))

        servers = {name: serve(name, "--model", str(model), core=SERVER_CORE) for name, model in models.items()}
        services = {name: f'service = "{name}"\ntop = {top}' for name, top in TOPS.items()}
        own = {name: f'model = "{model}"' for name, model in models.items()}
        steps = {"services": services}
        if not options.apart:
            steps |= {"models": own, "model-service": {**services, "small": own["small"]}}
        registry = consul.url.replace("http://", "consul://")
        for kind, lines in steps.items():
            (folder / kind).mkdir()
            for threshold in options.thresholds:
                file = cascade_file(folder / kind, threshold, lines)
                name = f"{kind}-{threshold:.0%}".rstrip("%")
                servers[f"{kind}, large below {threshold}"] = serve(
                    name, "--cascade", str(file), "--registry", registry, core=CLIENT_CORE
                )
        stack.enter_context(cores(int(options.apart), first=CLIENT_CORE))
        table = rows(
            servers,
            crops(list(photos().values()), options.crops),
            seconds=options.seconds,
            rounds=options.rounds,
            connections=options.connections,
        )
    head = ["", "images a second", "x large", "seen by large", "x allowed", "ms of processor", "x allowed", "agrees"]
    print(markdown_table(head, table))


if __name__ == "__main__":
    main()
