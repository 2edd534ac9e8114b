"""Batches on a GPU: images are uploaded, padded to a size for which there is a CUDA graph, and their scores come back.

`upload` may be called for the next batch while `__call__` runs one; each is for one thread at a time.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, overload

import numpy as np
import torch
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
    """Runs `compute` on a GPU for batches that are padded to one of `sizes`.

    The first batch of each size takes longer: a graph of the network is recorded, which starts all of its kernels at
    once. Other sizes, and networks that cannot be recorded, run without one.
    """

    def __init__(self, compute: Compute, device: CudaDevice, sizes: Sequence[int]) -> None:
        self._compute = compute
        self._device = device
        self._sizes = sizes
        self._graphs: dict[tuple[int, ...], Compute] = {}
        self._recordable = True

    def upload(self, images: Sequence[Pixels]) -> UploadedBatch:
        """The images as one array, padded with the last of them, and on their way to the GPU."""
        try:
            shape = (padded_size(len(images), self._sizes), *images[0].shape)
            host = self._device.host_pixels(shape)
            pixels: Pixels = host.numpy()
            np.stack(images, out=pixels[: len(images)])
            pixels[len(images) :] = images[-1]
            return UploadedBatch(pixels, self._device.upload(host))
        except torch.OutOfMemoryError as error:
            raise _out_of_memory(error) from None

    def __call__(self, images: Sequence[Pixels]) -> NDArray[Any]:
        """Scores of the images, or of a batch that was uploaded before."""
        batch = images if isinstance(images, UploadedBatch) else self.upload(images)
        try:
            scores = self._device.run(self._graph(batch), batch.upload)
        except torch.OutOfMemoryError as error:
            raise _out_of_memory(error) from None
        result: NDArray[Any] = scores.numpy()[: len(images)]
        return result

    def _graph(self, batch: UploadedBatch) -> Compute:
        """The network for a batch of this shape: its graph, which is recorded at first, or the network itself."""
        shape = tuple(batch.upload.pixels.shape)
        if not self._recordable or len(batch) not in self._sizes:
            return self._compute
        if shape not in self._graphs:
            try:
                self._graphs[shape] = self._device.recorded(self._compute, batch.upload)
            except torch.OutOfMemoryError:
                raise
            except RuntimeError as error:
                self._recordable = False
                _log.info("This network runs without CUDA graphs: %s", first_line(error))
        return self._graphs.get(shape, self._compute)


def _out_of_memory(error: Exception) -> OutOfMemory:
    """Our error for PyTorch's, without the frames that hold tensors."""
    return OutOfMemory(f"The GPU's memory does not suffice: {first_line(error)}")
