"""Batches on a GPU: images are uploaded, padded to a size for which there is a CUDA graph, and their scores come back.

`upload` may be called for the next batch while `__call__` runs one; each is for one thread at a time.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from worker.batching.padding import padded_size
from worker.engines.adapter import first_line
from worker.engines.torch.compute import Compute
from worker.engines.torch.cuda import CudaDevice, Upload
from worker.errors import OutOfMemory

_log = logging.getLogger(__name__)

Pixels = NDArray[np.uint8]


class UploadedBatch(Sequence[Pixels]):
    """The images of a batch [n, height, width, 3] on the host, and their copy on the GPU."""

    def __init__(self, images: Pixels, upload: Upload) -> None:
        self._images = images
        self.upload = upload

    def __len__(self) -> int:
        return len(self._images)

    @overload
    def __getitem__(self, index: int) -> Pixels: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Pixels]: ...
    def __getitem__(self, index: int | slice) -> Any:
        return self._images[index]


class GpuForward:
    """Runs `compute` on a GPU for batches that are padded to one of `sizes`, of images that all have one size.

    The first batch of each size takes longer: a graph of the network is recorded, whose kernels one call
    starts from then on. Other sizes, and networks that cannot be recorded, run without one.
    """

    def __init__(self, compute: Compute, device: CudaDevice, sizes: Sequence[int]) -> None:
        self._compute = compute
        self._device = device
        self._sizes = sizes
        self._graphs: dict[int, Compute] = {}

    def upload(self, images: Sequence[Pixels]) -> UploadedBatch:
        """The images as one array, padded with the last of them, and on their way to the GPU."""
        shape = (padded_size(len(images), self._sizes), *images[0].shape)
        with _memory_checked():
            host = self._device.host_pixels(shape)
            pixels: Pixels = host.numpy()
            np.stack(images, out=pixels[: len(images)])
            pixels[len(images) :] = images[-1]
            return UploadedBatch(pixels, self._device.upload(host))

    def __call__(self, images: Sequence[Pixels]) -> NDArray[Any]:
        """Scores of the images, or of a batch that was uploaded before."""
        batch = images if isinstance(images, UploadedBatch) else self.upload(images)
        with _memory_checked():
            scores: NDArray[Any] = self._device.run(self._graph(batch), batch.upload).numpy()
        return scores[: len(images)]

    def _graph(self, batch: UploadedBatch) -> Compute:
        """The network for a batch of this size: its graph, which is recorded at first, or the network itself."""
        size = len(batch)
        if size not in self._sizes:
            return self._compute
        if size not in self._graphs:
            self._graphs[size] = self._recorded(batch)
        return self._graphs[size]

    def _recorded(self, batch: UploadedBatch) -> Compute:
        try:
            return self._device.recorded(self._compute, batch.upload)
        except RuntimeError as error:
            if _out_of_memory(error):
                raise
            _log.info("Batches of %d run without a CUDA graph: %s", len(batch), first_line(error))
            return self._compute


@contextlib.contextmanager
def _memory_checked() -> Iterator[None]:
    """Raise our error where the GPU's memory does not suffice, without the frames that hold tensors."""
    try:
        yield
    except RuntimeError as error:
        reason = _out_of_memory(error)
        if not reason:
            raise
        raise OutOfMemory(f"The GPU's memory does not suffice: {reason}") from None


def _out_of_memory(error: RuntimeError) -> str:
    """The line of an error that says that memory is out; empty for other errors.

    TorchScript's interpreter makes a plain RuntimeError of PyTorch's OutOfMemoryError and puts its own lines before.
    """
    return next((line.strip() for line in str(error).splitlines() if "out of memory" in line), "")
