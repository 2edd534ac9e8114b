"""The device and the threads on which PyTorch computes, as the flags say."""

from __future__ import annotations

from typing import Any

import torch

from worker.artifacts.source import ModelSource
from worker.engines.device import pick
from worker.errors import ModelError
from worker.system.cpu import has_bf16, usable_cores


def device_of(source: ModelSource) -> tuple[Any, int | None]:
    """PyTorch's device, and the GPU's number; the process's threads are set. ModelError for a precision it lacks."""
    number = pick(source.device, seen=torch.cuda.device_count(), framework="PyTorch")
    if source.precision == "bf16" and number is None and not has_bf16():
        raise ModelError("This processor has no bf16 (AVX512-BF16 or AMX): use --precision f32.")
    torch.set_num_threads(usable_cores())
    return torch.device("cpu" if number is None else f"cuda:{number}"), number
