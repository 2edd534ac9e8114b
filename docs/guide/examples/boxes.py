"""Images in, boxes out: where the bright spots of a picture are, as many as there are."""

import numpy as np
from scipy import ndimage


class Spots:
    """Finds regions that are brighter than half."""

    def load(self) -> None:
        """There is nothing to load."""

    def predict(self, images: list[np.ndarray]) -> list[dict[str, np.ndarray]]:
        """For each image uint8 [height, width, 3]: boxes [k, 4], left, top, right, bottom in pixels, and scores [k]."""
        return [self._spots(image.mean(axis=2)) for image in images]

    def _spots(self, brightness: np.ndarray) -> dict[str, np.ndarray]:
        labelled, _ = ndimage.label(brightness > 127)
        found = [
            (columns.start, rows.start, columns.stop, rows.stop) for rows, columns in ndimage.find_objects(labelled)
        ]
        scores = [brightness[top:bottom, left:right].mean() / 255 for left, top, right, bottom in found]
        return {"boxes": np.array(found, np.int32).reshape(-1, 4), "scores": np.array(scores, np.float32)}
