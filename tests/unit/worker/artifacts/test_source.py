"""A path leads to a model, its version and its labels."""

from __future__ import annotations

from pathlib import Path

import pytest

from worker.artifacts.source import ModelSource, is_versioned, locate
from worker.errors import ModelError
from worker.inference.model import load


def put(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("x")


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


def test_a_version_is_a_number_without_leading_zeros(tmp_path: Path) -> None:
    """0003 is version 3, as in a folder of versions; digits of other scripts, such as ², are no version."""
    for name in ("0003", "²"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "m.keras").touch()
    assert locate(tmp_path / "0003").version == "3"
    assert locate(tmp_path).path == tmp_path / "0003" / "m.keras"
    assert locate(tmp_path / "²").version == "1"


def test_no_model_is_a_sentence(tmp_path: Path) -> None:
    """A path that does not exist, an empty folder, and both kinds of path at once are errors that help."""
    with pytest.raises(ModelError, match="check --model"):
        locate(tmp_path / "none")
    with pytest.raises(ModelError, match=r"needs a saved_model\.pb"):
        locate(tmp_path)
    with pytest.raises(ModelError, match="not both"):
        load(ModelSource(path=tmp_path, graph=tmp_path), name="m")


def test_a_model_is_told_from_a_folder_of_versions(tmp_path: Path) -> None:
    """A folder of numbered folders is one of versions, also before any is complete; a model itself is not."""
    put(tmp_path, "model/saved_model.pb", "many/1/saved_model.pb", "coming/1/variables/x", "keras/0003/m.keras")
    (tmp_path / "empty").mkdir()
    answers = {name: is_versioned(tmp_path / name) for name in ("model", "many", "coming", "keras", "empty")}
    assert answers == {"model": False, "many": True, "coming": True, "keras": True, "empty": False}
    assert not is_versioned(None)
    assert not is_versioned(tmp_path / "model" / "saved_model.pb")


def test_a_folder_of_photos_is_no_model(tmp_path: Path) -> None:
    """The error says in two sentences what the folder is, and how to make a model of it."""
    put(tmp_path, "photos/rose/1.JPG", "photos/daisy/2.png")
    for folder in (tmp_path / "photos", tmp_path / "photos" / "rose"):
        with pytest.raises(ModelError, match=r"a folder of photos, not a model\. `p2p retrain --image-dir ") as error:
            locate(folder)
        assert str(error.value).count(". ") == 1


def test_a_signature_is_refused_where_there_are_none(tmp_path: Path) -> None:
    """Only a SavedModel has signatures."""
    put(tmp_path, "m.onnx")
    for where in ({"path": tmp_path / "m.onnx"}, {"graph": tmp_path / "m.onnx"}):
        with pytest.raises(ModelError, match="--signature names a signature of a SavedModel"):
            ModelSource(signature="a", **where)
    assert ModelSource(path=tmp_path, signature="a").signature == "a"


def test_labels_that_cannot_be_read_are_told_before_the_model_is_loaded(tmp_path: Path) -> None:
    """An error in a flag does not wait for frameworks to be imported and engines to be compared."""
    put(tmp_path, "m.onnx")
    (tmp_path / "latin1.txt").write_bytes(b"caf\xe9\n")
    for labels in ("latin1.txt", "none.txt"):
        with pytest.raises(ModelError, match="check --labels"):
            load(ModelSource(path=tmp_path / "m.onnx", labels=tmp_path / labels), name="m")
    with pytest.raises(ModelError, match="--device takes"):
        load(ModelSource(path=tmp_path / "m.onnx", device="gpu0"), name="m")


def test_how_a_precision_is_chosen_is_said_only_where_it_is_chosen() -> None:
    """--agreement and --samples without --precision auto are told; an agreement is a share; a precision ends both."""
    with pytest.raises(ModelError, match="--agreement and --samples say how --precision auto chooses"):
        ModelSource(precision="bf16", agreement=0.9)
    with pytest.raises(ModelError, match="--agreement and --samples say how --precision auto chooses"):
        ModelSource(samples=Path("photos"))
    for share in (0.0, 1.01):
        with pytest.raises(ModelError, match="--agreement is a share of images above 0 and at most 1"):
            ModelSource(precision="auto", agreement=share)
    chosen = ModelSource(precision="auto", agreement=0.9, samples=Path("photos")).in_precision("bf16")
    assert chosen == ModelSource(precision="bf16")
