"""Labelled photos from packages, as folders: scikit-learn's digits, Fashion-MNIST, Tux Paint's stamps."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

FASHION = Path("/usr/share/datasets/fashion-mnist")
"""Where Debian's dataset-fashion-mnist puts its files."""

STAMPS = Path("/usr/share/tuxpaint/stamps")
"""Where Debian's tuxpaint-stamps-default puts its files."""

_LEAST_STAMPS = 15
_IMAGES_HEADER, _LABELS_HEADER = 16, 8  # bytes of the IDX format before the values


def digits(folder: Path) -> None:
    """1,797 handwritten digits of 8 x 8 pixels."""
    from sklearn.datasets import load_digits

    data = load_digits()
    for number, (pixels, label) in enumerate(zip(data.images, data.target, strict=True)):
        _save(folder / str(label) / f"{number}.png", (pixels * (255 / 16)).astype(np.uint8))


def fashion(folder: Path, *, train: int = 2000, test: int = 2000) -> None:
    """Clothes of 28 x 28 pixels: `train` of Fashion-MNIST's training images, `test` of its test images."""
    random = np.random.default_rng(0)
    for part, prefix, count in (("train", "train", train), ("test", "t10k", test)):
        images = _values(FASHION / f"{prefix}-images-idx3-ubyte.gz", _IMAGES_HEADER).reshape(-1, 28, 28)
        labels = _values(FASHION / f"{prefix}-labels-idx1-ubyte.gz", _LABELS_HEADER)
        for number in random.permutation(len(labels))[:count]:
            _save(folder / part / str(labels[number]) / f"{number}.png", images[number])


def stamps(folder: Path) -> None:
    """Drawings and photos of Tux Paint, by the folder that they are in; mirrored ones are left out."""
    for label in sorted(path for path in STAMPS.iterdir() if path.is_dir()):
        files = [file for file in sorted(label.rglob("*.png")) if not file.stem.endswith(("_mirror", "_flip"))]
        if len(files) >= _LEAST_STAMPS:
            for file in files:
                copy = folder / label.name / "-".join(file.relative_to(label).parts)
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_bytes(file.read_bytes())


def _values(file: Path, header: int) -> NDArray[np.uint8]:
    with gzip.open(file) as content:
        return np.frombuffer(content.read(), np.uint8, offset=header)


def _save(file: Path, pixels: NDArray[np.uint8]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(file)
