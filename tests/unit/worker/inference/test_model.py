"""A model finds its files, reads what is said about them, and gives the best labels in an honest order."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.support.photos import chelsea_jpeg
from tests.support.small_models import Brightness, brightness
from worker.artifacts.labels import read_labels, write_labels
from worker.artifacts.source import ModelSource, Preprocess, locate, read_preprocess, write_preprocess
from worker.engines.base import warmup_images
from worker.engines.outputs import Softmaxed, are_probabilities, softmax
from worker.engines.selection.select import candidates
from worker.errors import BadRequest, ModelError, TooLarge
from worker.inference.model import Model, load


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
        "platform": "numpy",
        "classes": 2,
        "input": {"size": [8, 8], "resize": "stretch", "pixels": "0..255", "batch": None},
    }


def test_closing_a_model_closes_its_engine() -> None:
    """A closed model holds no engine open."""
    engine = Brightness()
    Model("test", "1", ("a", "b"), Softmaxed(engine), 1).close()
    assert engine.closed


# Outputs


@given(st.lists(st.lists(st.floats(-200, 200, width=32), min_size=3, max_size=3), min_size=1, max_size=4))
def test_softmax_makes_probabilities(rows: list[list[float]]) -> None:
    """Whatever the logits, softmax gives probabilities in the same order."""
    logits = np.array(rows, np.float32)
    found = softmax(logits)
    assert are_probabilities(found)
    assert (np.take_along_axis(found, logits.argsort(axis=1), axis=1)[:, -1] == found.max(axis=1)).all()


@pytest.mark.parametrize(
    ("rows", "verdict"),
    [
        ([[0.2, 0.8], [1.0, 0.0]], True),
        ([[0.2, 0.8], [0.9, 0.9]], False),
        ([[1.5, -0.5]], False),
        ([[0.1, 0.2]], False),
        ([[np.nan, np.nan]], False),
    ],
)
def test_probabilities_are_told_from_other_numbers(rows: list[list[float]], verdict: bool) -> None:
    """Rows without negative numbers that add up to 1 are probabilities; one row that does not is enough."""
    assert are_probabilities(np.array(rows, np.float32)) is verdict


def test_an_engine_of_logits_gives_probabilities_behind_softmax() -> None:
    """The wrapper changes the numbers and nothing else."""
    engine = Softmaxed(Brightness())
    images = warmup_images(engine.input, 3)
    assert np.allclose(engine.predict(images), softmax(Brightness().predict(images)))
    assert (engine.name, engine.classes, engine.platform) == ("brightness", 2, "numpy")


def test_an_unknown_engine_is_answered_with_the_known() -> None:
    """--engine with a wrong name lists the right ones; one that cannot run the model names those that can."""
    assert [one.name for one in candidates(ModelSource(engine="tensorflow"), "keras")] == ["tensorflow"]
    with pytest.raises(ModelError, match="no engine 'caffe': --engine takes auto, echo, tensorflow, onnx"):
        candidates(ModelSource(engine="caffe"), "caffe")
    with pytest.raises(ModelError, match="cannot run a model of the kind caffe: --engine takes opencv"):
        candidates(ModelSource(engine="tensorflow"), "caffe")


# Labels


def test_labels_survive_a_file(tmp_path: Path) -> None:
    """Names of any language come back as they were written, and a byte order mark does not count."""
    names = ("tabby", "Łódź", "大熊猫")
    write_labels(tmp_path, names)
    assert read_labels(tmp_path / "labels.txt", classes=3) == names
    (tmp_path / "labels.txt").write_bytes(b"\xef\xbb\xbftabby\r\ntiger cat\r\n\r\n")
    assert read_labels(tmp_path / "labels.txt", classes=2) == ("tabby", "tiger cat")


def test_labels_that_do_not_fit_are_errors(tmp_path: Path) -> None:
    """A wrong count names both numbers; a missing or binary file is named."""
    assert read_labels(None, classes=3) == ("0", "1", "2")
    write_labels(tmp_path, ("a", "b"))
    with pytest.raises(ModelError, match="names 2 classes but the model has 3"):
        read_labels(tmp_path / "labels.txt", classes=3)
    with pytest.raises(ModelError, match="--labels"):
        read_labels(tmp_path / "none.txt", classes=3)
    (tmp_path / "labels.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ModelError, match="--labels"):
        read_labels(tmp_path / "labels.txt", classes=1)


# Files and preprocessing


def test_a_model_is_found_in_each_of_its_forms(tmp_path: Path) -> None:
    """A SavedModel's folder, a Keras file, a folder with one, and numbered versions; labels inside go first."""
    saved = tmp_path / "cats"
    saved.mkdir()
    (saved / "saved_model.pb").touch()
    assert (locate(saved).path, locate(saved).version, locate(saved).labels) == (saved, "1", None)
    (tmp_path / "labels.txt").touch()
    assert locate(saved).labels == tmp_path / "labels.txt"
    (saved / "labels.txt").touch()
    assert locate(saved).labels == saved / "labels.txt"
    assert locate(saved, labels=Path("mine.txt")).labels == Path("mine.txt")
    numbered = tmp_path / "dogs"
    for number in ("9", "10", "11", "latest"):
        (numbered / number).mkdir(parents=True)
    for number in ("9", "10"):
        (numbered / number / "dog.keras").touch()
    found = locate(numbered)
    assert (found.path, found.version) == (numbered / "10" / "dog.keras", "10")
    assert locate(numbered / "9").version == "9"
    for number, name in enumerate(("m.onnx", "m.xml", "m.tflite", "m.pt", "m.pt2", "m.caffemodel", "m.pb"), start=20):
        (numbered / str(number)).mkdir()
        (numbered / str(number) / name).touch()
        assert locate(numbered).path == numbered / str(number) / name


def test_no_model_is_a_sentence(tmp_path: Path) -> None:
    """A path that does not exist, an empty folder, and both kinds of path at once are errors that help."""
    with pytest.raises(ModelError, match="check --model"):
        locate(tmp_path / "none")
    with pytest.raises(ModelError, match=r"needs a saved_model\.pb"):
        locate(tmp_path)
    with pytest.raises(ModelError, match="not both"):
        load(ModelSource(path=tmp_path, graph=tmp_path), name="m")


def test_preprocess_survives_a_file(tmp_path: Path) -> None:
    """What is written to model.toml is read back; without a file nothing is said."""
    assert read_preprocess(tmp_path) == Preprocess()
    said = Preprocess(size=(10, 20), resize="crop", filter="bicubic", channels="bgr", mean=(1.5, 2.0, 3.0), std=(58.0,))
    said = replace(said, layout="nchw", outputs="logits")
    write_preprocess(tmp_path, said)
    assert read_preprocess(tmp_path) == said
    assert read_preprocess(tmp_path / "model.keras") == said


@pytest.mark.parametrize(
    "text", ["[preprocess]\nsizes = [1, 2]", "[preprocess]\nsize = 3", "[preprocess", 'preprocess = "x"']
)
def test_a_model_toml_that_cannot_be_understood_is_named(tmp_path: Path, text: str) -> None:
    """An unknown key, a wrong type and broken TOML are errors that name the file."""
    (tmp_path / "model.toml").write_text(text)
    with pytest.raises(ModelError, match=r"model\.toml cannot be used"):
        read_preprocess(tmp_path)


def test_flags_go_before_the_file() -> None:
    """What a flag says hides the file's word on the same thing and no other."""
    file = Preprocess(size=(10, 20), mean=(1.0,))
    assert Preprocess(mean=(2.0,)).over(file) == Preprocess(size=(10, 20), mean=(2.0,))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"resize": "zoom"}, "crop or stretch"),
        ({"filter": "nearest"}, "bicubic or bilinear"),
        ({"channels": "rbg"}, "rgb or bgr"),
        ({"layout": "hwcn"}, "nhwc or nchw"),
        ({"outputs": "scores"}, "probabilities or logits"),
        ({"std": (0.0,)}, "must not be 0"),
        ({"mean": (1.0, 2.0)}, "one number, or three"),
        ({"size": (0, 5)}, "height and a width"),
    ],
)
def test_preprocessing_that_cannot_be_meant_is_refused(words: dict[str, object], message: str) -> None:
    """Wrong words and numbers are errors that say the right ones."""
    with pytest.raises(ModelError, match=message):
        Preprocess(**words)  # type: ignore[arg-type]  # wrong on purpose
