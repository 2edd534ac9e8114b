"""`--device` and the GPUs that a framework sees -> the GPU to use, or the CPU."""

from __future__ import annotations

import re

from worker.errors import ModelError

GPU_BATCHES = (1, 2, 4, 8, 16, 32, 64)
"""Batch sizes that GPU engines are warmed at and want to be padded to: each new size costs them a plan or a
compilation when it is first seen. Calibration finds which of them is worth its latency."""


def pick(device: str, *, seen: int, framework: str) -> int | None:
    """The number of the GPU that `device` ("auto", "cpu", "gpu", "gpu:1") means, of `seen` GPUs; None for the CPU.

    Raises ModelError for a GPU that the framework does not see, and for a word that is none of these.
    """
    match = parsed_device(device)
    if device == "cpu" or (device == "auto" and not seen):
        return None
    number = int(match[1] or 0)
    if number >= seen:
        has = f"only {seen} (gpu:0 to gpu:{seen - 1})" if seen else "none"
        raise ModelError(
            f"--device {device}: {framework} sees {has} of this machine's GPUs. Check the driver (nvidia-smi) "
            "and that the framework is installed with GPU support, or use --device cpu."
        )
    return number


def parsed_device(device: str) -> re.Match[str]:
    """The parts of `--device`: its group 1 is the GPU's number, if there is one. Raises ModelError for other words."""
    match = re.fullmatch(r"auto|cpu|gpu(?::(\d{1,3}))?", device)
    if match is None:
        raise ModelError(f"--device takes auto, cpu, gpu or gpu:N, not {device!r}.")
    return match


def name_of(number: int | None) -> str:
    """The device's name, as /readyz shows it: "cpu", "gpu:0"."""
    return "cpu" if number is None else f"gpu:{number}"
