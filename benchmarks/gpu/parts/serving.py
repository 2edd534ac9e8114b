"""The worker beside a bare loop of the same decoder and engine, in turns: alone, and with 16, 64 and 256 clients.

After that the worker in bf16 beside itself with one thing switched off, and with the file of torch.export.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from statistics import median

from benchmarks.gpu.figures import Figure
from benchmarks.gpu.generators import Generators, LoadSummary, generators
from benchmarks.gpu.launch_worker import SWITCHES
from benchmarks.gpu.machine import Gpu, busy_share, mean_share, opened_gpu
from benchmarks.gpu.setup import WARM_S, Found, Setup, photos, target_of
from benchmarks.gpu.workers import batches_of, gpu_worker
from benchmarks.harness.p2p import Running, agent
from benchmarks.harness.process_tree import memory_mb
from benchmarks.worker.bare_loop_process import BareLoop, bare_loop

CLIENTS = (16, 64, 256)
ROUNDS = 2
MOST_CLIENTS_BAR = 0.9
ALONE_BAR_MS = 1.5

ALL = "all of it"

PRECISIONS: Mapping[str, str] = {"float32": "f32", "bf16": "bf16"}


def measure(setup: Setup, found: Found) -> None:
    """Both precisions beside their bare loops, then what each part of the code is worth."""
    gpu = opened_gpu() if setup.on_gpu else None
    with agent(core=None) as consul, generators() as load:
        for name, precision in PRECISIONS.items():
            flags = ["--precision", precision]
            before_mb = gpu.used_mb() if gpu else 0.0
            with gpu_worker(setup, consul.url, setup.torchscript, name=name, flags=flags) as worker:
                found(_memory(name, worker, gpu, before_mb))
                with _bare(setup, precision) as bare:
                    for figure in _beside_bare_loop(setup, name, worker, bare, load, gpu):
                        found(figure)
        with _variants(setup, consul.url) as workers:
            for figure in _beside_each_other(setup, workers, load):
                found(figure)


def _memory(name: str, worker: Running, gpu: Gpu | None, before_mb: float) -> Figure:
    """The memory of a worker that has loaded and calibrated its model."""
    if gpu:
        return Figure(f"{name}: GPU memory of the worker", gpu.used_mb() - before_mb, "MiB")
    return Figure(f"{name}: memory of the worker", memory_mb(worker.pid), "MB")


@contextmanager
def _bare(setup: Setup, precision: str) -> Iterator[BareLoop]:
    """The bare loop, with the photos as files."""
    files = []
    for number, photo in enumerate(photos()):
        file = setup.out / f"photo-{number}.jpg"
        file.write_bytes(photo)
        files.append(file)
    flags = ["--device", setup.device_flag, "--precision", precision]
    log = setup.out / f"bare-{precision}.log"
    with bare_loop(setup.torchscript, "torch", files, log=log, flags=flags) as bare:
        yield bare


def _beside_bare_loop(
    setup: Setup, name: str, worker: Running, bare: BareLoop, load: Generators, gpu: Gpu | None
) -> Iterator[Figure]:
    """Turns of the worker and of the bare loop, most clients first."""
    target = target_of(worker.port)
    (schedule,) = bare.schedules
    load.load(target, clients=CLIENTS[-1], seconds=WARM_S)
    for clients in (*reversed(CLIENTS), 1):
        ours: list[LoadSummary] = []
        loops: list[float] = []
        shares: list[float] = []
        before = batches_of(worker.url)
        for _ in range(ROUNDS):
            with busy_share(gpu) as found:
                ours.append(load.load(target, clients=clients, seconds=setup.seconds))
            shares += found
            bare_turn = bare.lone_ms if clients == 1 else partial(bare.per_s, schedule)
            loops.append(bare_turn(seconds=setup.seconds, warm_s=WARM_S))
        beside = median(loops)
        if clients == 1:
            alone = median(turn.percentile_ms(0.5) for turn in ours)
            yield Figure(f"{name}: p50 alone", alone, "ms", beside, at_most=beside + ALONE_BAR_MS)
            continue
        mean_batch = batches_of(worker.url).mean_since(before)
        notes = [f"batches of {mean_batch:.1f}", f"bare loop: {schedule}", mean_share(shares), ours[-1].note]
        yield Figure(
            f"{name}: {clients} clients",
            median(turn.per_s for turn in ours),
            "images/s",
            beside,
            least_ratio=MOST_CLIENTS_BAR if clients == CLIENTS[-1] else None,
            note=", ".join(filter(None, notes)),
        )


@contextmanager
def _variants(setup: Setup, consul_url: str) -> Iterator[dict[str, Running]]:
    """Workers in bf16: as it is, with one thing switched off each, and with the file of torch.export."""
    flags = ["--precision", "bf16"]
    with ExitStack() as stack:

        def started(name: str, model: Path, *launch: str) -> Running:
            return stack.enter_context(gpu_worker(setup, consul_url, model, name=name, flags=flags, launch=launch))

        workers = {ALL: started("all", setup.torchscript)}
        for switch in SWITCHES:
            workers[f"without {switch}"] = started(f"no-{switch}", setup.torchscript, "--without", switch)
        workers["torch.export"] = started("exported", setup.exported)
        yield workers


def _beside_each_other(setup: Setup, workers: Mapping[str, Running], load: Generators) -> Iterator[Figure]:
    """Turns of the variants, each beside the worker as it is: with many clients, and alone."""
    targets = {name: target_of(worker.port) for name, worker in workers.items()}
    for clients in (CLIENTS[-1], 1):
        turns: dict[str, list[LoadSummary]] = {name: [] for name in workers}
        for _ in range(ROUNDS):
            for name, target in targets.items():
                turns[name].append(load.load(target, clients=clients, seconds=setup.seconds))
        for name, each in turns.items():
            if name == ALL:
                continue
            if clients == 1:
                values, beside = ([turn.percentile_ms(0.5) for turn in group] for group in (each, turns[ALL]))
                yield Figure(f"bf16, {name}: p50 alone", median(values), "ms", median(beside))
            else:
                values, beside = ([turn.per_s for turn in group] for group in (each, turns[ALL]))
                yield Figure(f"bf16, {name}: {clients} clients", median(values), "images/s", median(beside))
