"""A model decodes, predicts, and gives the best labels, best first."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.support.models.small_models import Brightness, brightness
from tests.support.photos import chelsea_jpeg
from worker.engines.model_io.outputs import SoftmaxEngine
from worker.errors import BadRequest, ModelError, TooLarge
from worker.inference.model import Model


def labelled(scores: NDArray[np.float32], k: int) -> list[tuple[str, float]]:
    labels = tuple(str(number) for number in range(scores.size))
    return Model("test", "1", labels, Brightness(), 1).top(scores, k)


weights = st.lists(st.floats(0, 1, width=32), min_size=1, max_size=40).filter(lambda w: sum(w) > 0.01)


@given(weights, st.integers(0, 50))
def test_top_is_the_head_of_a_full_sort(given_weights: list[float], k: int) -> None:
    """The k best come best first, of equals the first class first, whatever k is."""
    scores = np.array(given_weights, np.float32) / np.float32(sum(given_weights))
    order = sorted(range(scores.size), key=lambda index: (-scores[index], index))
    assert [label for label, _ in labelled(scores, k)] == [str(index) for index in order[:k]]


@given(weights, st.integers(1, 50))
def test_scores_add_up_to_at_most_one(given_weights: list[float], k: int) -> None:
    """Rounding never makes the scores of an answer add up to more than 1, nor moves one by more than 2e-6."""
    scores = np.array(given_weights, np.float32) / np.float32(sum(given_weights))
    found = labelled(scores, k)
    assert sum(score for _, score in found) <= 1
    assert sum(score for _, score in reversed(found)) <= 1
    assert all(abs(score - scores[int(label)]) < 3e-6 and score >= 0 for label, score in found)


@pytest.mark.parametrize("scores", [[1.0], [0.5, 0.5], [0.7, 0.2, 0.1], [0.35, 0.35, 0.3], [1.0000002, 0.0]])
def test_scores_that_are_whole_stay_within_one(scores: list[float]) -> None:
    """Scores that add up to 1 exactly, or by float32's rounding to a little more, add up to 1 at most."""
    assert 0.99999 < sum(score for _, score in labelled(np.array(scores, np.float32), 5)) <= 1


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_score_that_is_no_number_is_an_error(bad: float) -> None:
    """NaN and infinity never reach a client's JSON."""
    with pytest.raises(ModelError, match="not a number"):
        labelled(np.array([0.1, bad], np.float32), 1)


def test_independent_scores_stay_as_they_are() -> None:
    """Scores of labels that do not exclude each other add up to more than 1, and are not divided by their sum."""
    assert labelled(np.array([0.25, 0.875, 0.75], np.float32), 2) == [("1", 0.875), ("2", 0.75)]


def test_an_image_is_decoded_predicted_and_labelled() -> None:
    """The three steps of a request give the right label."""
    model = brightness()
    image = model.decode(chelsea_jpeg())
    assert image.shape == model.example().shape == (8, 8, 3)
    (scores,) = model.predict([image])
    assert model.top(scores, 1) == [("dark", pytest.approx(1 - image.mean() / 255, abs=1e-5))]
    assert model.predict([]).shape == (0, 2)


def test_the_models_limit_holds() -> None:
    """Images above the model's max_pixels, and what is no image, are refused at decode."""
    with pytest.raises(TooLarge):
        replace(brightness(), max_pixels=451 * 300 - 1).decode(chelsea_jpeg())
    with pytest.raises(BadRequest):
        brightness().decode(b"")


def test_describe_is_for_readyz() -> None:
    """What a model says of itself names it, its version, its engine and its input."""
    assert brightness().describe() == {
        "name": "test",
        "version": "1",
        "engine": "brightness",
        "engine_choice": None,
        "device": "cpu",
        "precision": "f32",
        "platform": "numpy",
        "classes": 2,
        "input": {"size": [8, 8], "resize": "stretch", "pixels": "0..255", "batch": None},
    }


def test_closing_a_model_closes_its_engine() -> None:
    """A closed model holds no engine open."""
    engine = Brightness()
    Model("test", "1", ("a", "b"), SoftmaxEngine(engine), 1).close()
    assert engine.closed
