"""Makes the models: a network of torchvision with seeded weights and a softmax, in three formats."""

from __future__ import annotations

import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.gpu.figures import Figure
from benchmarks.gpu.setup import Found, Setup
from worker.engines.base import InputSpec
from worker.engines.sample_images import sample_images

SEED = 1
SETTLING = 16
"""Pictures from which batch normalisation learns its statistics."""

SPREAD = 2.0
"""The standard deviation of logits: that of trained networks, so that one class of a picture stands out."""

LARGEST_BATCH = 1024


def measure(setup: Setup, found: Found) -> None:
    """Make the models and say how long that took."""
    network = softmax_network(setup.network)
    example = pictures(2)
    for name, path, write in (
        ("TorchScript", setup.torchscript, write_torchscript),
        ("torch.export", setup.exported, write_exported),
        ("ONNX", setup.onnx, write_onnx),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        began_s = time.monotonic()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            note = write(network, example, path)
        found(Figure(f"writing {setup.network} as {name}", time.monotonic() - began_s, "s", note=note))


def softmax_network(name: str) -> Any:
    """The network with seeded weights, normal activations and probabilities as its outputs."""
    torch.manual_seed(SEED)
    network = _small() if name == "small" else _of_torchvision(name)
    _settle(network)
    return torch.nn.Sequential(network, torch.nn.Softmax(dim=1)).eval()


def pictures(count: int) -> Any:
    """Sample pictures as a tensor [n, 3, 224, 224], scaled as ImageNet's are."""
    pixels = torch.from_numpy(np.stack(sample_images(InputSpec(None), count))).permute(0, 3, 1, 2).float()
    mean, std = (torch.tensor(each).reshape(3, 1, 1) for each in ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)))
    return (pixels - mean) / std


def write_torchscript(network: Any, example: Any, path: Path) -> str:
    """Write a TorchScript file."""
    torch.jit.trace(network, example).save(str(path))
    return ""


def write_exported(network: Any, example: Any, path: Path) -> str:
    """Write a file of torch.export, for any number of images."""
    number = torch.export.Dim("n", min=1, max=LARGEST_BATCH)
    torch.export.save(torch.export.export(network, (example,), dynamic_shapes=({0: number},)), str(path))
    return ""


def write_onnx(network: Any, example: Any, path: Path) -> str:
    """Write an ONNX file where the packages for that are installed; else why not."""
    axes = {"pixels": {0: "n"}, "scores": {0: "n"}}
    try:
        torch.onnx.export(
            network, (example,), str(path), input_names=["pixels"], output_names=["scores"], dynamic_axes=axes,
            dynamo=False,
        )  # fmt: skip
    except Exception as error:  # the exporter may raise anything
        path.unlink(missing_ok=True)
        return f"left out: {str(error).splitlines()[0]}"
    return ""


def _of_torchvision(name: str) -> Any:
    from torchvision.models import get_model

    return get_model(name, weights=None)


def _small() -> Any:
    """A network for rehearsals that predicts in a millisecond and needs no torchvision."""
    layers = torch.nn
    return layers.Sequential(
        layers.Conv2d(3, 16, 7, stride=4),
        layers.BatchNorm2d(16),
        layers.ReLU(),
        layers.Conv2d(16, 32, 3, stride=2),
        layers.ReLU(),
        layers.AdaptiveAvgPool2d(1),
        layers.Flatten(),
        layers.Linear(32, 10),
    )


def _settle(network: Any) -> None:
    """Let batch normalisation learn its statistics from pictures, and scale the last layer to `SPREAD`.

    With statistics of 0 and 1, activations of random weights grow from layer to layer, and rounding decides the answer.
    """
    images = pictures(SETTLING)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # the mean over all batches
    with torch.no_grad():
        network.train()(images)
        logits = network.eval()(images)
        last = [module for module in network.modules() if isinstance(module, torch.nn.Linear)][-1]
        scale = SPREAD / (logits - logits.mean(0)).std()
        last.weight.mul_(scale)
        last.bias.copy_((last.bias - logits.mean(0)) * scale)
