"""The worker beside a bare loop of the same decoder and engine, in turns: alone, and with 16, 64 and 256 clients.

After that the worker in bf16 beside itself with one thing switched off, and with the file of torch.export.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from statistics import median

from benchmarks.gpu.figures import Figure, one_line
from benchmarks.gpu.generators import Generators, LoadSummary, generators
from benchmarks.gpu.launch_worker import SWITCHES
from benchmarks.gpu.machine import Gpu, busy_share, mean_share, opened_gpu
from benchmarks.gpu.setup import WARM_S, Found, Setup, photos, target_of
from benchmarks.gpu.workers import Launched, batches_of, launched_worker
from benchmarks.harness.p2p import Running, agent
from benchmarks.harness.process_tree import memory_mb
from benchmarks.worker.bare_loop_process import BareLoop, bare_loop

CLIENTS = (16, 64, 256)
ROUNDS = 2
MOST_CLIENTS_BAR = 0.9
ALONE_BAR_MS = 1.5

START_WITHIN_S = 90.0
"""How long all workers may take to start at the same time."""

REHEARSED = 4
"""How many of the workers start without a GPU."""

ALL = "bf16"
"""The worker with which those are compared that have one thing switched off."""

WITHOUT = "without "
EXPORTED = "torch.export"

PRECISIONS: Mapping[str, str] = {"float32": "f32", "bf16": "bf16"}


def measure(setup: Setup, found: Found) -> None:
    """Both precisions beside their bare loops, then what each part of the code is worth."""
    gpu = opened_gpu() if setup.on_gpu else None
    with agent(core=None) as consul, generators() as load, _workers(setup, consul.url, found) as workers:
        for name, precision in PRECISIONS.items():
            if name not in workers:
                continue
            found(_memory(name, workers[name], gpu))
            try:
                with _bare(setup, precision) as bare:
                    for figure in _beside_bare_loop(setup, name, workers[name], bare, load, gpu):
                        found(figure)
            except SystemExit as error:  # the bare loop does not run; the other figures do not need it
                found(Figure(f"{name}: beside the bare loop", None, "images/s", note=one_line(error)))
        if ALL in workers:
            variants = {name: worker for name, worker in workers.items() if name not in PRECISIONS or name == ALL}
            for figure in _beside_each_other(setup, variants, load):
                found(figure)


@contextmanager
def _workers(setup: Setup, consul_url: str, found: Found) -> Iterator[dict[str, Running]]:
    """Both precisions, and in bf16 workers with one thing switched off, and with the file of torch.export.

    With a GPU all start at the same time, because most of a start is waiting for files and for the driver. Without one
    they would slow each other down, and the switches change nothing: one of them is rehearsed. A worker that does not
    start has a figure without a value, which says why.
    """
    with ExitStack() as stack:

        def launched(name: str) -> Launched:
            model = setup.exported if name == EXPORTED else setup.torchscript
            launch = ["--without", name.removeprefix(WITHOUT)] if name.startswith(WITHOUT) else []
            flags = ["--precision", PRECISIONS.get(name, PRECISIONS[ALL])]
            service = re.sub("[ .]", "-", name)
            worker = launched_worker(setup, consul_url, model, name=service, flags=flags, launch=launch)
            return stack.enter_context(worker)

        names = [*PRECISIONS, EXPORTED, *(f"{WITHOUT}{switch}" for switch in SWITCHES)]
        starting = {name: launched(name) for name in names} if setup.on_gpu else {}
        ready: dict[str, Running] = {}
        for name in names if setup.on_gpu else names[:REHEARSED]:
            try:
                ready[name] = (starting.get(name) or launched(name)).ready(START_WITHIN_S * setup.patience)
            except RuntimeError as error:
                found(Figure(name, None, "images/s", note=one_line(error)))
        yield ready


def _memory(name: str, worker: Running, gpu: Gpu | None) -> Figure:
    """The memory of a worker that has loaded and calibrated its model."""
    if gpu:
        return Figure(f"{name}: GPU memory of the worker", gpu.used_by_mb(worker.pid), "MiB")
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
