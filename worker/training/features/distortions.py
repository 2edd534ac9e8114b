"""Photos -> variants of them, as retrain.py's --flip_left_right, --random_crop, --random_scale, --random_brightness.

The variant follows from the photo's content, the number of the variant and the seed, so that runs repeat.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from worker.images.decode import CROP_SHARE, ImageSize


@dataclass(frozen=True)
class Distortions:
    """What is done to a photo; percentages as of retrain.py, 0 for none.

    crop:       how much of the side is cut away, at a random place
    scale:      how much larger the photo is at most
    brightness: how much brighter or darker its pixels are at most
    """

    flip: bool = False
    crop: int = 0
    scale: int = 0
    brightness: int = 0
    seed: int = 0
    variant: int = 0

    @property
    def any(self) -> bool:
        """Whether photos are changed at all."""
        return self.flip or any((self.crop, self.scale, self.brightness))

    @property
    def id(self) -> str:
        """A name of all values."""
        return "-".join(str(int(value)) for value in asdict(self).values())

    def numbered(self, variant: int) -> Distortions:
        """The same for another variant of each photo."""
        return replace(self, variant=variant)

    def apply(self, pixels: NDArray[np.uint8], size: ImageSize, digest: str) -> NDArray[np.uint8]:
        """A variant of an image, uint8 [height, width, 3], in the size that the network takes."""
        random = np.random.default_rng([int(digest[:16], 16), self.seed, self.variant])
        height, width = pixels.shape[:2]
        share = CROP_SHARE if size.resize == "crop" else 1.0
        side = min(height, width) * share * (1 - self.crop / 100) / random.uniform(1, 1 + self.scale / 100)
        across, down = (side, side) if size.resize == "crop" else (side * width / min(height, width), side)
        left, top = random.uniform(0, max(0.0, width - across)), random.uniform(0, max(0.0, height - down))
        if not (self.crop or self.scale):
            left, top = (width - across) / 2, (height - down) / 2
        box = (left, top, min(left + across, width), min(top + down, height))
        image = Image.fromarray(pixels).resize((size.width, size.height), Image.Resampling.BICUBIC, box, 2.0)
        if self.flip and random.random() < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        factor = random.uniform(1 - self.brightness / 100, 1 + self.brightness / 100)
        brighter = np.clip(np.asarray(image, np.float32) * factor, 0, 255)
        return np.asarray(brighter, np.uint8)
