"""An input plan executed by PyTorch on a GPU: uint8 pixels become the network's input.

Pixels travel there as bytes, a quarter of what floats take. On a CPU numpy is faster (`input_plan.feed`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from worker.engines.model_io.input_plan import LUMINANCE, InputPlan


def scaled_pixels(plan: InputPlan, dtype: Any, device: Any) -> Callable[[Any], Any]:
    """A function that executes `plan` on `device`: uint8 [n, height, width, 3] -> a contiguous tensor of `dtype`."""
    across = (-1, 1, 1) if plan.layout.order == "nchw" else (-1,)
    std = torch.tensor(plan.std, dtype=torch.float64)
    mean = torch.tensor(plan.mean, dtype=torch.float64)
    scale = (1 / std).float().reshape(across).to(device)
    shift = (-mean / std).float().reshape(across).to(device)
    luminance = torch.tensor(LUMINANCE, dtype=torch.float32, device=device)

    def fill(pixels: Any) -> Any:
        ordered = _ordered(pixels, plan, luminance)
        if plan.untouched:
            return ordered.to(dtype).contiguous()
        values = torch.empty(ordered.shape, dtype=torch.float32, device=device)  # contiguous, as networks expect it
        torch.mul(ordered, scale, out=values)
        return values.add_(shift).to(dtype)

    return lambda pixels: _bare(fill(pixels), plan)


def _ordered(pixels: Any, plan: InputPlan, luminance: Any) -> Any:
    """Pixels with the network's channels, in its order of dimensions."""
    if plan.layout.grey:
        pixels = (pixels.float() @ luminance).unsqueeze(-1)
    elif plan.channels == "bgr":
        pixels = pixels.flip(-1)
    return pixels.permute(0, 3, 1, 2) if plan.layout.order == "nchw" else pixels


def _bare(values: Any, plan: InputPlan) -> Any:
    """Remove the dimensions that this network does not have."""
    values = values[..., 0] if plan.layout.flat else values
    return values[0] if plan.layout.single else values
