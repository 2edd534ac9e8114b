"""What the benchmarks send and serve: a photo, tiny images of any number of bytes, the default model."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

from PIL import Image

from benchmarks.harness.p2p import ROOT

PHOTO = ROOT / "deploy" / "cat.jpg"
"""A cat, 35 kB."""

CACHE = Path.home() / ".cache" / "p2p-serving"
"""Where the product keeps its exported default model, and the benchmarks their rivals' environments."""


def padded_bmp(size: int) -> bytes:
    """A BMP of 2 x 2 pixels, which is decoded in microseconds, padded to `size` bytes with random ones."""
    file = io.BytesIO()
    Image.new("RGB", (2, 2)).save(file, "BMP")
    return file.getvalue() + os.urandom(size - file.tell())


def default_model() -> Path:
    """The folder of the default model, a SavedModel, which is exported if it is not there.

    A process of its own exports it, so that this one does not import TensorFlow.
    """
    code = "import sys, pathlib; from worker.default_model.export import exported; "
    code += "print(exported(pathlib.Path(sys.argv[1])))"
    done = subprocess.run([sys.executable, "-c", code, CACHE], check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    return Path(done.stdout.strip().splitlines()[-1])
