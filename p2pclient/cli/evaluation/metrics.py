"""Accuracy and confusions: true and predicted labels in, counts and shares out; pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

OTHER = "other"
"""The column of predictions that are no image's true label."""


def normalized(label: str) -> str:
    """A label as it is compared: without case, and with spaces for `_` and `-`, which folders' names use."""
    return " ".join(label.casefold().replace("_", " ").replace("-", " ").split())


class Accuracy:
    """Counts over labelled images, by true and predicted label."""

    def __init__(self) -> None:
        self.images = 0
        self.right_first = 0
        self.right_of_five = 0
        self.undecided = 0
        """Images whose true label is not among the labels that are known of them, which are fewer than five."""
        self._names: dict[str, str] = {}  # how each true label was first written
        self._pairs: Counter[tuple[str, str]] = Counter()
        self._predicted: set[str] = set()

    def add(self, truth: str, predicted: Sequence[str], *, complete: bool = True) -> None:
        """Count one image: its true label, and the predicted ones, best first, at least one.

        `complete` says that they are the model's five best, or all that it has.
        """
        best, *others = (normalized(label) for label in predicted[:5])
        true = normalized(truth)
        self._names.setdefault(true, truth)
        self._pairs[true, best] += 1
        self.images += 1
        self.right_first += true == best
        found = true == best or true in others
        self.right_of_five += found
        self.undecided += not found and not complete
        self._predicted.update((best, *others))

    @property
    def top1(self) -> float:
        """The share of images whose best label is the true one; 0 without images."""
        return self.right_first / self.images if self.images else 0.0

    @property
    def top5(self) -> float:
        """The share of images whose true label is among the five best; 0 without images.

        It is a lower bound where images are `undecided`.
        """
        return self.right_of_five / self.images if self.images else 0.0

    @property
    def any_truth_predicted(self) -> bool:
        """Whether a true label of any image was among the five best of any image."""
        return not self._predicted.isdisjoint(self._names)

    @property
    def classes(self) -> list[str]:
        """The true labels of the images, sorted."""
        return [self._names[true] for true in sorted(self._names)]

    def matrix(self) -> list[list[int]]:
        """Images by true label (rows) and best predicted label (columns), both in the order of `classes`.

        A last column counts predictions that are in none of `classes`.
        """
        places = {true: place for place, true in enumerate(sorted(self._names))}
        rows = [[0] * (len(places) + 1) for _ in places]
        for (true, best), count in self._pairs.items():
            rows[places[true]][places.get(best, len(places))] += count
        return rows

    def confused(self) -> list[tuple[int, str, str]]:
        """Confusions as (count, true label, predicted label), the most frequent first."""
        wrong = [
            (count, self._names[true], self._names.get(best, best))
            for (true, best), count in self._pairs.items()
            if true != best
        ]
        return sorted(wrong, key=lambda pair: (-pair[0], pair[1:]))
