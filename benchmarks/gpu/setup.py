"""What all parts of the run know: the device, how long a turn lasts, the folder of results, the network."""

from __future__ import annotations

import argparse
import io
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from benchmarks.gpu.figures import Figure
from benchmarks.harness.connections import Target
from benchmarks.harness.inputs import PHOTO
from benchmarks.harness.requests import post

Found = Callable[[Figure], None]
"""Takes a figure as soon as it is known, so that a part that is stopped keeps its figures."""

WARM_S = 0.3
"""The unmeasured beginning of a turn."""


@dataclass(frozen=True)
class Setup:
    """The settings of a run; `patience` multiplies all bounds in time, for rehearsals on slow machines."""

    out: Path
    device: str
    seconds: float
    network: str
    patience: float = 1.0

    @property
    def on_gpu(self) -> bool:
        """Whether models run on a GPU."""
        return self.device == "cuda"

    @property
    def device_flag(self) -> str:
        """The device as `p2p worker --device` takes it."""
        return "gpu" if self.on_gpu else "cpu"

    @property
    def models(self) -> Path:
        """The folder of the models that the first part makes."""
        return self.out / "models"

    @property
    def torchscript(self) -> Path:
        """The TorchScript file."""
        return self.models / "torchscript" / "model.pt"

    @property
    def exported(self) -> Path:
        """The file of torch.export."""
        return self.models / "exported" / "model.pt2"

    @property
    def onnx(self) -> Path:
        """The ONNX file, which is there only where PyTorch could write one."""
        return self.models / "onnx" / "model.onnx"

    def arguments(self) -> list[str]:
        """The same settings as command line arguments."""
        named: dict[str, object] = {
            "out": self.out,
            "device": self.device,
            "seconds": self.seconds,
            "network": self.network,
        }
        named["patience"] = self.patience
        return [text for name, value in named.items() for text in (f"--{name}", str(value))]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the settings that all commands of this package take."""
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results", help="folder for the results")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda")
    parser.add_argument("--seconds", type=float, default=1.5, help="the measured part of a turn")
    parser.add_argument("--patience", type=float, default=1.0, help="multiplies all bounds, for slow machines")
    parser.add_argument("--network", default="resnet50", help="a network of torchvision, or small")


def setup_of(options: argparse.Namespace) -> Setup:
    """The settings from parsed arguments."""
    return Setup(options.out.resolve(), options.device, options.seconds, options.network, options.patience)


def photos() -> list[bytes]:
    """Eight JPEGs of the photo: as it is, turned, mirrored and cropped, so that not all answers are the same."""
    with Image.open(PHOTO) as photo:
        width, height = photo.size
        turned = [photo.transpose(each) for each in (Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.ROTATE_180)]
        corners = [(0, 0), (width // 4, 0), (0, height // 4), (width // 4, height // 4)]
        cropped = [photo.crop((x, y, x + width * 3 // 4, y + height * 3 // 4)) for x, y in corners]
        encoded = [PHOTO.read_bytes()]
        for picture in (photo, *turned, *cropped):
            file = io.BytesIO()
            picture.save(file, "JPEG", quality=90)
            encoded.append(file.getvalue())
    return encoded


def target_of(port: int) -> Target:
    """A worker, and requests with the photos."""
    return Target(port, tuple(post(photo, "image/jpeg") for photo in photos()))


def core_count() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0))


def figures_file(setup: Setup, module: str) -> Path:
    """The file to which a part writes its figures, one JSON object in each line."""
    return setup.out / f"{module}.jsonl"


def read_figures(file: Path) -> list[Figure]:
    """The figures that a part has written; none if it has written none."""
    if not file.exists():
        return []
    return [Figure(**json.loads(line)) for line in file.read_text("utf-8").splitlines()]
