"""Photos that packages ship -> JPEGs of random parts of them, the same at every call."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image

LABELS: Mapping[str, frozenset[str]] = {
    "chelsea": frozenset({"Egyptian cat", "tiger cat", "tabby"}),
    "coffee": frozenset({"espresso", "cup"}),
    "rocket": frozenset({"missile", "projectile", "space shuttle"}),
    "china": frozenset({"palace", "bell cote", "monastery"}),
    "flower": frozenset({"daisy"}),
}
"""ImageNet's names for what is to be seen in a photo; it has none for the portrait of an astronaut."""

LEAST_EDGE = 0.35
"""The smallest part, of the shorter side: hard to recognise."""


def photos() -> dict[str, Image.Image]:
    """The photos of scikit-image and scikit-learn by name."""
    from skimage import data
    from sklearn.datasets import load_sample_images

    shipped = {name: getattr(data, name)() for name in ("astronaut", "chelsea", "coffee", "rocket")}
    shipped |= zip(("china", "flower"), load_sample_images().images, strict=True)
    return {name: Image.fromarray(pixels).convert("RGB") for name, pixels in shipped.items()}


def crops(of: Sequence[Image.Image], count: int, *, least: float = LEAST_EDGE) -> list[bytes]:
    """JPEGs of 320 x 320 pixels: squares of random places and edges, from `least` of the shorter side, in turn."""
    random = np.random.default_rng(7)
    made = []
    for number in range(count):
        photo = of[number % len(of)]
        edge = int(min(photo.size) * random.uniform(least, 1.0))
        left, top = (int(random.integers(0, length - edge + 1)) for length in photo.size)
        file = io.BytesIO()
        photo.crop((left, top, left + edge, top + edge)).resize((320, 320)).save(file, "JPEG", quality=90)
        made.append(file.getvalue())
    return made
