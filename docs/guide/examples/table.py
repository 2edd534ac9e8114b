"""A table in, a label and its probabilities out: scikit-learn on the measurements of irises."""

from typing import Annotated, TypedDict

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression


class Species(TypedDict):
    """What is known of each flower."""

    species: list[str]
    probabilities: Annotated[NDArray[np.float64], (3,)]


class Irises:
    """Tells species of irises by length and width of sepals and petals, in centimetres."""

    def load(self) -> None:
        """Fit the classifier; a model of your own reads a file beside this one here."""
        irises = load_iris()
        self.names = irises.target_names
        self.classifier = LogisticRegression(max_iter=1000).fit(irises.data, irises.target)

    def predict(self, measurements: Annotated[NDArray[np.float32], (4,)]) -> Species:
        """The species of n flowers, from their measurements [n, 4]."""
        probabilities = self.classifier.predict_proba(measurements)
        best = probabilities.argmax(axis=1)
        return {"species": [str(self.names[number]) for number in best], "probabilities": probabilities}
