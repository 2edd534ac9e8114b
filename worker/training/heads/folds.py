"""Photos in groups -> folds for cross-validation that keep groups together and labels balanced; pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

MOST_FOLDS = 5


def folds_of(
    labels: NDArray[np.int64], groups: Sequence[str], *, seed: int, most: int = MOST_FOLDS
) -> NDArray[np.int64]:
    """The fold of each photo, 0 to k - 1, where k is at most `most` and at least 2.

    A group is in one fold; of each label every fold has about as many photos, as far as groups allow. k is not larger
    than the number of groups of the label that has fewest.
    """
    members: dict[str, list[int]] = defaultdict(list)
    for place, group in enumerate(groups):
        members[group].append(place)
    first = {group: int(labels[places[0]]) for group, places in members.items()}
    by_label: dict[int, list[str]] = defaultdict(list)
    for group in sorted(members):
        by_label[first[group]].append(group)
    count = max(2, min(most, min(map(len, by_label.values()))))
    random = np.random.default_rng(seed)
    folds = np.zeros(len(labels), np.int64)
    for start, label in enumerate(sorted(by_label)):
        held = np.zeros(count, np.int64)
        order = random.permutation(len(by_label[label]))
        for group in sorted((by_label[label][n] for n in order), key=lambda group: -len(members[group])):
            fold = min(range(count), key=lambda fold: (held[fold], (fold - start) % count))
            folds[members[group]] = fold
            held[fold] += len(members[group])
    return folds
