"""`p2p worker` with something of it switched off, to see what that is worth; only benchmarks have such switches.

    python -m benchmarks.gpu.launch_worker [--without SWITCH] [--memory-mb N] [--fits N] -- ARGUMENTS

`--memory-mb` leaves PyTorch so much of the GPU's memory. `--fits` lets batches of more images fail as they do on a GPU
that is too small, for rehearsals without one.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from benchmarks.harness.p2p import run_p2p


def without_graphs() -> None:
    """Networks run kernel by kernel."""
    from worker.engines.torch.gpu_forward import GpuForward

    _replace(GpuForward, "_graph", lambda self, _: self._compute)


def without_pinned() -> None:
    """Pixels come from pageable memory, which the computing stream waits for."""
    import torch

    from worker.engines.torch.cuda import CudaDevice

    _replace(CudaDevice, "host_pixels", lambda _, shape: torch.empty(shape, dtype=torch.uint8))
    made = CudaDevice.__init__

    def one_stream(self: Any, device: Any) -> None:
        made(self, device)
        self._copying = self._computing

    _replace(CudaDevice, "__init__", one_stream)


def without_padding() -> None:
    """Batches have as many images as there are, and graphs only where that is one of the sizes."""
    from worker.engines.torch import gpu_forward

    _replace(gpu_forward, "padded_size", lambda images, _: images)
    _change_batcher(sizes=())


def without_ahead() -> None:
    """No batch is assembled and uploaded while another one runs."""
    _change_batcher(ahead=False)


SWITCHES: Mapping[str, Callable[[], None]] = MappingProxyType(
    {"graphs": without_graphs, "pinned": without_pinned, "padding": without_padding, "ahead": without_ahead}
)


def limit_memory(megabytes: int) -> None:
    """Leave PyTorch so much of the GPU's memory."""
    import torch

    torch.cuda.set_per_process_memory_fraction(megabytes * 2**20 / torch.cuda.mem_get_info()[1])


def limit_batches(most: int) -> None:
    """Let batches of more images fail for lack of memory."""
    from worker.engines.adapter import EngineAdapter
    from worker.errors import OutOfMemory

    predicted = EngineAdapter._call

    def call(self: Any, forward: Any, images: Any) -> Any:
        if len(images) > most:
            raise OutOfMemory(f"This rehearsal has memory for {most} images.")
        return predicted(self, forward, images)

    _replace(EngineAdapter, "_call", call)


def _change_batcher(**changed: Any) -> None:
    """Make batchers with other arguments than the worker would."""
    from worker.inference import predictor

    made: Callable[..., Any] = vars(predictor)["Batcher"]
    _replace(predictor, "Batcher", lambda *args, **kwargs: made(*args, **kwargs | changed))


def _replace(owner: Any, name: str, value: Any) -> None:
    """Replace an attribute that is there."""
    getattr(owner, name)
    setattr(owner, name, value)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--without", choices=SWITCHES)
    parser.add_argument("--memory-mb", type=int)
    parser.add_argument("--fits", type=int)
    parser.add_argument("arguments", nargs="+")
    options = parser.parse_args()
    if options.without:
        SWITCHES[options.without]()
    if options.memory_mb:
        limit_memory(options.memory_mb)
    if options.fits:
        limit_batches(options.fits)
    run_p2p(["worker", *options.arguments])


if __name__ == "__main__":
    main()
