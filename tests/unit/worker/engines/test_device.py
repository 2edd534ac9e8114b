"""A device is chosen among the GPUs that a framework sees."""

from __future__ import annotations

import pytest

from worker.engines.device import name_of, pick
from worker.errors import ModelError


@pytest.mark.parametrize(
    ("device", "seen", "number"),
    [("auto", 0, None), ("auto", 2, 0), ("cpu", 2, None), ("gpu", 1, 0), ("gpu:1", 2, 1)],
)
def test_a_device_is_picked(device: str, seen: int, number: int | None) -> None:
    """auto takes a GPU where one is seen; cpu never; gpu:N the one that it says."""
    assert pick(device, seen=seen, framework="X") == number
    assert name_of(number) == ("cpu" if number is None else f"gpu:{number}")


@pytest.mark.parametrize(
    ("device", "seen", "message"),
    [
        ("gpu", 0, r"X sees none of this machine's GPUs.*--device cpu"),
        ("gpu:2", 2, r"only 2 \(gpu:0 to gpu:1\)"),
        ("tpu", 0, "takes auto, cpu, gpu or gpu:N, not 'tpu'"),
        ("gpu:", 1, "not 'gpu:'"),
    ],
)
def test_a_device_that_is_not_there_is_said(device: str, seen: int, message: str) -> None:
    """A GPU that the framework does not see is an error with the way out, and so is another word."""
    with pytest.raises(ModelError, match=message):
        pick(device, seen=seen, framework="X")
