"""Batches on a GPU, with a fake in place of the GPU: `CudaDevice` itself needs one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from worker.errors import OutOfMemory

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'p2p-serving[torch]'")

from worker.engines.torch.cuda import Upload  # noqa: E402 - needs torch
from worker.engines.torch.gpu_forward import GpuForward  # noqa: E402 - needs torch


class FakeDevice:
    """Computes on the CPU and remembers what was uploaded and recorded."""

    def __init__(self, *, recordable: bool = True) -> None:
        self.uploads: list[int] = []
        self.recordings: list[int] = []
        self.replays = 0
        self._recordable = recordable

    def host_pixels(self, shape: tuple[int, ...]) -> Any:
        return torch.empty(shape, dtype=torch.uint8)

    def upload(self, pixels: Any) -> Upload:
        self.uploads.append(len(pixels))
        return Upload(pixels, None)

    def run(self, compute: Callable[[Any], Any], upload: Upload) -> Any:
        return compute(upload.pixels)

    def recorded(self, compute: Callable[[Any], Any], upload: Upload) -> Callable[[Any], Any]:
        self.recordings.append(len(upload.pixels))
        if not self._recordable:
            raise RuntimeError("operation not permitted when stream is capturing\nCompile with ...")

        def replay(pixels: Any) -> Any:
            self.replays += 1
            return compute(pixels)

        return replay


def means(pixels: Any) -> Any:
    """Two scores of each image: its mean, and its largest value."""
    flat = pixels.float().flatten(1)
    return torch.stack([flat.mean(1), flat.max(1).values], 1)


def pictures(*values: int) -> list[Any]:
    return [np.full((2, 2, 3), value, np.uint8) for value in values]


def forward_on(device: FakeDevice, compute: Callable[[Any], Any] = means, sizes: Sequence[int] = (1, 2, 4)) -> Any:
    return GpuForward(compute, device, sizes)  # type: ignore[arg-type]


def test_a_batch_is_padded_and_its_graph_recorded_once() -> None:
    """Three images travel as four; the scores are those of the three, and the next batch replays the graph."""
    device = FakeDevice()
    forward = forward_on(device)
    for _ in range(2):
        assert forward(pictures(1, 2, 3))[:, 0].tolist() == [1, 2, 3]
    assert (device.uploads, device.recordings, device.replays) == ([4, 4], [4], 2)


def test_a_batch_that_was_uploaded_before_is_not_uploaded_again() -> None:
    """Its length is the padded one, as of an assembled array, and its images can be taken out of it."""
    device = FakeDevice()
    forward = forward_on(device)
    batch = forward.upload(pictures(5, 6, 7))
    assert [int(image[0, 0, 0]) for image in batch] == [5, 6, 7, 7]
    assert len(batch[1:3]) == 2
    assert forward(batch)[:, 0].tolist() == [5, 6, 7, 7]
    assert device.uploads == [4]


def test_sizes_that_are_not_padded_to_run_without_a_graph() -> None:
    """More images than the largest size are predicted, too."""
    device = FakeDevice()
    assert len(forward_on(device)(pictures(*range(5)))) == 5
    assert (device.uploads, device.recordings) == ([5], [])


def test_a_network_that_cannot_be_recorded_runs_without_graphs(caplog: pytest.LogCaptureFixture) -> None:
    """One attempt and one line in the log for each size, and answers all the same."""
    device = FakeDevice(recordable=False)
    forward = forward_on(device)
    with caplog.at_level("INFO"):
        for _ in range(2):
            assert forward(pictures(3, 4))[:, 0].tolist() == [3, 4]
    assert device.recordings == [2]
    assert caplog.messages == [
        "Batches of 2 run without a CUDA graph: operation not permitted when stream is capturing"
    ]


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("The following operation failed in the TorchScript interpreter.\nTraceback of TorchScript:\n"
                     "RuntimeError: CUDA out of memory. Tried to allocate 2.00 GiB."),
    ],
)  # fmt: skip
@pytest.mark.parametrize("recorded", [True, False])
def test_too_little_memory_is_told_apart_from_other_failures(error: RuntimeError, recorded: bool) -> None:
    """Whoever says so, while the network is recorded or while it computes; then smaller batches run."""

    def greedy(pixels: Any) -> Any:
        if len(pixels) > 2:
            raise error
        return means(pixels)

    device = FakeDevice()
    if recorded:
        device.recorded = lambda compute, upload: (compute(upload.pixels), compute)[1]  # type: ignore[method-assign]
    forward = forward_on(device, greedy)
    with pytest.raises(OutOfMemory, match=r"does not suffice: .*Tried to allocate"):
        forward(pictures(1, 2, 3))
    assert len(forward(pictures(1, 2))) == 2


def test_other_failures_stay_as_they_are() -> None:
    """The adapter makes an error about the model of them."""

    def broken(_: Any) -> Any:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        forward_on(FakeDevice(), broken)(pictures(1))
