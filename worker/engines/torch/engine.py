"""A PyTorch model -> an engine that takes uint8 images, on the CPU or on a GPU, in float32 or in bf16."""

from __future__ import annotations

from typing import Any

import torch

from worker.artifacts.source import ModelSource
from worker.engines.adapter import EngineAdapter, Forward
from worker.engines.device import GPU_BATCHES, name_of
from worker.engines.model_io.input_plan import (
    Images,
    InputPlan,
    feed,
    layout_of,
    plan,
    scaling_of,
    spec_of,
    usual_scaling,
)
from worker.engines.torch.compute import computation
from worker.engines.torch.cuda import CudaDevice
from worker.engines.torch.device import device_of
from worker.engines.torch.gpu_forward import GpuForward
from worker.engines.torch.pixels import scaled_pixels
from worker.engines.torch.reader import NUMPY_TYPES, Network, read_network
from worker.errors import ModelError


def load(source: ModelSource) -> EngineAdapter:
    """Load the .pt, .ts or .pt2 file of `source`; raises ModelError with the cause and the cure."""
    if source.path is None:
        raise ModelError(f"PyTorch reads .pt, .ts and .pt2 files, not {source.graph}.")
    device, number = device_of(source)
    network = read_network(source, source.path, device)
    layout = layout_of(network.shape, usual="nchw", requested=source.preprocess.layout)
    whole = not network.dtype.is_floating_point
    scaling = scaling_of(source.preprocess, own=None, usual=usual_scaling(layout), whole=whole)
    prepared = plan(layout, source.preprocess, scaling=scaling)
    bf16 = source.precision == "bf16"
    on_gpu = None if number is None else _on_gpu(network, prepared, device, bf16=bf16)
    return EngineAdapter(
        on_gpu or _on_cpu(network, prepared, bf16=bf16),
        spec_of(prepared, source.preprocess),
        name="torch",
        platform=network.platform,
        device=name_of(number),
        fixed_batches=GPU_BATCHES if on_gpu else None,
        upload=on_gpu.upload if on_gpu else None,
    )


def _on_gpu(network: Network, plan: InputPlan, device: Any, *, bf16: bool) -> GpuForward:
    """The network with pixels scaled on the GPU."""
    scaled = scaled_pixels(plan, network.dtype, device)
    compute = computation(lambda pixels: network.call(scaled(pixels)), kind="cuda", bf16=bf16)
    sizes = GPU_BATCHES if plan.size else ()  # images of any size go in one by one, each as it is
    return GpuForward(compute, CudaDevice(device), sizes)


def _on_cpu(network: Network, plan: InputPlan, *, bf16: bool) -> Forward:
    """The network with pixels scaled by numpy, which takes an eighth of PyTorch's time for one image."""
    fill = feed(plan, NUMPY_TYPES[network.dtype])
    compute = computation(network.call, kind="cpu", bf16=bf16)

    def forward(images: Images) -> Any:
        return compute(torch.from_numpy(fill(images))).numpy()

    return forward
