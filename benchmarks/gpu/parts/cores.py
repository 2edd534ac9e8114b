"""Images per second of a worker that predicts on 1, 2, 4, ... cores, as ratios to linear."""

from __future__ import annotations

import importlib.util
from contextlib import ExitStack

from benchmarks.gpu.figures import Figure
from benchmarks.gpu.generators import generators
from benchmarks.gpu.setup import Found, Setup, core_count, target_of
from benchmarks.gpu.workers import READY_WITHIN_S
from benchmarks.harness.affinity import cores
from benchmarks.harness.p2p import agent, worker

CORES = (1, 2, 4, 8, 12, 16)
CLIENTS = 64


def measure(setup: Setup, found: Found) -> None:
    """A worker on each number of cores; the load comes from the others, and from the same ones where none is left.

    ONNX Runtime predicts where it is installed, as the product chooses on a CPU, else PyTorch.
    """
    total = core_count()
    with_onnx = setup.onnx.exists() and importlib.util.find_spec("onnxruntime") is not None
    engine, model = ("onnx", setup.onnx) if with_onnx else ("torch", setup.torchscript)
    flags = ["--model", str(model), "--device", "cpu", "--queue", "2048", "--deadline", "30"]
    within_s = READY_WITHIN_S * setup.patience
    alone = 0.0
    with agent(core=None) as consul:
        for count in (each for each in CORES if each <= total):
            others = total - count
            with ExitStack() as stack:
                with cores(count):
                    running = stack.enter_context(
                        worker(consul.url, *flags, engine=engine, core=None, within_s=within_s)
                    )
                with cores(others or total, first=count if others else 0), generators() as load:
                    turn = load.load(target_of(running.port), clients=CLIENTS, seconds=2 * setup.seconds)
            alone = alone or turn.per_s
            notes = [f"engine {engine}", "beside: linear" if count > 1 else "", turn.note]
            if not others:
                notes.append("the load ran on the same cores")
            beside = count * alone if count > 1 else None
            found(
                Figure(f"worker on {count} cores", turn.per_s, "images/s", beside, note=", ".join(filter(None, notes)))
            )
