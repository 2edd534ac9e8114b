"""Labels and probabilities of photos that were not trained on -> photos whose label is probably wrong; pure.

Confident learning (Northcutt, Jiang and Chuang, 2021, section 3): a photo is suspect if another label's probability
reaches what photos of that label have on average, and is higher than that of the photo's own label.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Suspect(NamedTuple):
    """A photo by its number, the label that it probably has, and by how much that is more probable than its own."""

    photo: int
    suggested: int
    margin: float


def suspects(truth: NDArray[np.int64], probabilities: NDArray[np.float64]) -> list[Suspect]:
    """The suspect photos, those with the largest margin first.

    truth: [n]; probabilities: [n, labels], of each photo by a head that was not trained on it
    """
    labels = probabilities.shape[1]
    thresholds = np.array([probabilities[truth == n, n].mean() if (truth == n).any() else 1.0 for n in range(labels)])
    confident = np.where(probabilities >= thresholds, probabilities, 0.0)
    suggested = confident.argmax(axis=1)
    rows = np.arange(len(truth))
    margin = confident[rows, suggested] - probabilities[rows, truth]
    found = np.flatnonzero((suggested != truth) & (margin > 0))
    return [Suspect(int(n), int(suggested[n]), float(margin[n])) for n in sorted(found, key=lambda n: (-margin[n], n))]
