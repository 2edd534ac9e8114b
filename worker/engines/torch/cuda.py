"""What the engine asks of one NVIDIA GPU: memory that it copies from quickly, its streams, and CUDA graphs.

Not yet run on a GPU: tests run it with fakes of streams and graphs, and `gpu_forward` with a fake of `CudaDevice`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from worker.engines.torch.compute import Compute

_WARM = 3
"""Calls before a graph is recorded: TorchScript optimises a network during its first calls."""


class Upload(NamedTuple):
    """Pixels on the GPU, which may be read once the event `copied` has happened."""

    pixels: Any
    copied: Any


class CudaDevice:
    """One GPU: uploads travel on one stream while the network computes on another.

    Made after the network was loaded, whose weights may still be on their way to the GPU.
    """

    def __init__(self, device: Any) -> None:
        torch.cuda.synchronize(device)
        self._device = device
        self._computing = torch.cuda.Stream(device)
        self._copying = torch.cuda.Stream(device)
        self._memory = torch.cuda.graph_pool_handle()  # graphs share it, because only one of them runs at a time

    def host_pixels(self, shape: tuple[int, ...]) -> Any:
        """A uint8 tensor in pinned memory of the host, which PyTorch does not reuse before its upload is complete."""
        return torch.empty(shape, dtype=torch.uint8, pin_memory=True)

    def upload(self, pixels: Any) -> Upload:
        """Begin to copy pixels to the GPU."""
        with torch.cuda.stream(self._copying):
            return Upload(pixels.to(self._device, non_blocking=True), self._copying.record_event())

    def run(self, compute: Compute, upload: Upload) -> Any:
        """The scores of uploaded pixels, on the host."""
        with torch.cuda.stream(self._computing):
            self._computing.wait_event(upload.copied)
            upload.pixels.record_stream(self._computing)
            return compute(upload.pixels).cpu()

    def recorded(self, compute: Compute, upload: Upload) -> Compute:
        """The same function for pixels of this shape as a CUDA graph; RuntimeError if it cannot be recorded as one.

        Other threads may use the GPU meanwhile.
        """
        with torch.cuda.stream(self._computing):
            self._computing.wait_event(upload.copied)
            held = upload.pixels.clone()
            for _ in range(_WARM):
                compute(held)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=self._memory, stream=self._computing, capture_error_mode="thread_local"):
                scores = compute(held)

        def replay(pixels: Any) -> Any:
            held.copy_(pixels, non_blocking=True)
            graph.replay()
            return scores

        return replay
