"""A PyTorch model -> an engine that takes uint8 images, on the CPU or on a GPU, in float32 or in bf16."""

from __future__ import annotations

from typing import Any

import torch

from worker.artifacts.source import ModelSource
from worker.engines.adapter import EngineAdapter, Forward
from worker.engines.device import GPU_BATCHES, name_of, pick
from worker.engines.model_io.input_plan import Images, layout_of, plan, scaling_of, spec_of, stacked, usual_scaling
from worker.engines.torch.compute import Compute, computation
from worker.engines.torch.cuda import CudaDevice
from worker.engines.torch.gpu_forward import GpuForward
from worker.engines.torch.pixels import scaled_pixels
from worker.engines.torch.reader import read_network
from worker.errors import ModelError
from worker.system.cpu import has_bf16, usable_cores


def load(source: ModelSource) -> EngineAdapter:
    """Load the .pt, .ts or .pt2 file of `source`; raises ModelError with the cause and the cure."""
    if source.path is None:
        raise ModelError(f"PyTorch reads .pt, .ts and .pt2 files, not {source.graph}.")
    number = pick(source.device, seen=torch.cuda.device_count(), framework="PyTorch")
    device = torch.device("cpu" if number is None else f"cuda:{number}")
    if source.precision == "bf16" and number is None and not has_bf16():
        raise ModelError("This processor has no bf16 (AVX512-BF16 or AMX): use --precision f32.")
    torch.set_num_threads(usable_cores())
    network = read_network(source, source.path, device)
    layout = layout_of(network.shape, usual="nchw", requested=source.preprocess.layout)
    whole = not network.dtype.is_floating_point
    scaling = scaling_of(source.preprocess, own=None, usual=usual_scaling(layout), whole=whole)
    prepared = plan(layout, source.preprocess, scaling=scaling)
    scaled = scaled_pixels(prepared, network.dtype, device)
    compute = computation(network.call, scaled, kind=device.type, bf16=source.precision == "bf16")
    on_gpu = None if number is None else GpuForward(compute, CudaDevice(device), GPU_BATCHES)
    return EngineAdapter(
        on_gpu or _on_cpu(compute),
        spec_of(prepared, source.preprocess),
        name="torch",
        platform=network.platform,
        device=name_of(number),
        fixed_batches=GPU_BATCHES if on_gpu else None,
        upload=on_gpu.upload if on_gpu else None,
    )


def _on_cpu(compute: Compute) -> Forward:
    def forward(images: Images) -> Any:
        pixels = stacked(images)
        writable = pixels if pixels.flags.writeable else pixels.copy()  # PyTorch warns of others
        return compute(torch.from_numpy(writable)).numpy()

    return forward
