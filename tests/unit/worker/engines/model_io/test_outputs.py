"""Outputs become probabilities."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.models.small_models import Brightness
from worker.engines.model_io.outputs import SoftmaxEngine, outputs_of, softmax
from worker.engines.sample_images import sample_images


@given(st.lists(st.lists(st.floats(-200, 200, width=32), min_size=3, max_size=3), min_size=1, max_size=4))
def test_softmax_makes_probabilities(rows: list[list[float]]) -> None:
    """Whatever the logits, softmax gives probabilities in the same order."""
    logits = np.array(rows, np.float32)
    found = softmax(logits)
    assert outputs_of(found) == "probabilities"
    assert (np.take_along_axis(found, logits.argsort(axis=1), axis=1)[:, -1] == found.max(axis=1)).all()


@pytest.mark.parametrize(
    ("rows", "outputs", "independent"),
    [
        ([[0.2, 0.8], [1.0, 0.0]], "probabilities", False),
        ([[0.2, 0.8], [0.9, 0.9]], "probabilities", True),
        ([[0.1, 0.2]], "probabilities", True),
        ([[1.5, -0.5]], "logits", False),
        ([[0.2, 0.8], [0.3, 1.2]], "logits", False),
        ([[np.nan, np.nan]], "logits", False),
    ],
)
def test_the_kind_of_outputs_is_told_by_their_range(
    rows: list[list[float]], outputs: str, independent: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Outputs outside 0..1 are logits; others get no softmax, and the log says where they do not add up to 1."""
    with caplog.at_level("INFO"):
        assert outputs_of(np.array(rows, np.float32)) == outputs
    assert ("independent scores" in caplog.text) is independent


def test_an_engine_of_logits_gives_probabilities_behind_softmax() -> None:
    """The wrapper changes the numbers and nothing else."""
    engine = SoftmaxEngine(Brightness())
    images = sample_images(engine.input, 3)
    assert np.allclose(engine.predict(images), softmax(Brightness().predict(images)))
    assert (engine.name, engine.classes, engine.platform) == ("brightness", 2, "numpy")
