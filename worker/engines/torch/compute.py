"""From a network's input to its scores, in float32 or in bf16 by autocast."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

Compute = Callable[[Any], Any]
"""A tensor of n images, scaled for the CPU and as pixels for a GPU -> their scores, float32, on the same device."""


def computation(network: Callable[[Any], Any], *, kind: str, bf16: bool) -> Compute:
    """The function that runs `network` on a device of this kind ("cpu", "cuda").

    In bf16, autocast computes convolutions and matrix products in 16 bits and keeps the weights as they are.
    """

    def compute(images: Any) -> Any:
        with torch.inference_mode(), torch.autocast(kind, dtype=torch.bfloat16, enabled=bf16):
            return scores_of(network(images)).float()

    return compute


def scores_of(outputs: Any) -> Any:
    """The scores among a network's outputs: its only output, the one named `logits`, or the first of several."""
    if isinstance(outputs, dict):
        return outputs["logits"] if "logits" in outputs else next(iter(outputs.values()))
    return outputs[0] if isinstance(outputs, tuple | list) else outputs
