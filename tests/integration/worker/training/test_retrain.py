"""Photos in folders become a model that tells them apart and is served like any other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support.photos import chelsea, chelsea_jpeg, china, china_jpeg, coffee, coffee_jpeg, jpeg
from worker.artifacts.source import ModelSource
from worker.errors import RetrainError
from worker.inference.model import load
from worker.training.retrain import retrain

# Keras 3 and NumPy 2 disagree on how arrays are copied, in Keras's own saving and training.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning:keras")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty crops each of a cat, an espresso and a palace, and one file that is no photo."""
    folder, random = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for label, whole in (("cat", chelsea()), ("coffee", coffee()), ("palace", china())):
        (folder / label).mkdir()
        for number in range(20):
            top, left = random.integers(0, whole.shape[0] - 150), random.integers(0, whole.shape[1] - 150)
            crop = np.ascontiguousarray(whole[top : top + 150, left : left + 150])
            (folder / label / f"{number}.jpg").write_bytes(jpeg(crop))
    (folder / "cat" / "Thumbs.db").write_bytes(b"no photo")
    return folder


def test_a_retrained_model_learns_and_is_served(photos: Path, tmp_path: Path) -> None:
    """A few steps reach 0.9 on photos that were not trained on, and the result loads and labels right."""
    lines: list[str] = []
    result = retrain(image_dir=photos, out=tmp_path, steps=30, say=lines.append)
    assert result.test_accuracy >= 0.9
    assert result.train + result.validation + result.test == 60
    assert (result.labels, result.skipped) == (("cat", "coffee", "palace"), 1)
    assert f"p2p worker --model {tmp_path}" in str(result)
    assert "Step 30 of 30: validation accuracy" in lines[-1]
    assert sum("Thumbs.db is left out: This is not an image" in line for line in lines) == 1
    model = load(ModelSource(path=tmp_path, engine="openvino"), name="mine")
    images = [model.decode(photo) for photo in (chelsea_jpeg(), coffee_jpeg(), china_jpeg())]
    assert [model.top(row, 1)[0][0] for row in model.predict(images)] == list(result.labels)
    assert model.describe()["input"]["resize"] == "crop"


def test_a_second_run_uses_what_the_first_has_seen(photos: Path, tmp_path: Path) -> None:
    """Features are kept by content: run again, none is computed anew, and the model is replaced as a whole."""
    first = retrain(image_dir=photos, out=tmp_path, steps=5, say=lambda line: None)
    kept = {file: file.stat().st_mtime_ns for file in tmp_path.glob("bottlenecks/*/*.npy")}
    assert len(kept) == 60
    again = retrain(image_dir=photos, out=tmp_path, steps=5, say=lambda line: None)
    assert {file: file.stat().st_mtime_ns for file in tmp_path.glob("bottlenecks/*/*.npy")} == kept
    assert first == again
    assert not list(tmp_path.glob("making-*"))
    assert load(ModelSource(path=tmp_path, engine="openvino"), name="mine").engine.classes == 3


def test_too_few_photos_stop_it(photos: Path, tmp_path: Path) -> None:
    """A label whose photos cannot be read is an error that counts those that can."""
    for label in ("a", "b"):
        (tmp_path / "photos" / label).mkdir(parents=True)
        for number in range(6):
            (tmp_path / "photos" / label / f"{number}.jpg").write_bytes(chelsea_jpeg() if label == "a" else b"bad")
    with pytest.raises(RetrainError, match="'b' has 0 usable photos"):
        retrain(image_dir=tmp_path / "photos", out=tmp_path / "out", steps=1, say=lambda line: None)
    (tmp_path / "file").touch()
    with pytest.raises(RetrainError, match="name another folder with --out"):
        retrain(image_dir=photos, out=tmp_path / "file", steps=1, say=lambda line: None)
