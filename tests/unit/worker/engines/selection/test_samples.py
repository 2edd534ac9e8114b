"""The sample images on which number formats are compared: where they are found, and which are taken."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.photos import chelsea_jpeg
from worker.artifacts.source import ModelSource
from worker.engines.base import InputSpec
from worker.engines.selection.samples import decoded_samples, evenly, sample_files, too_few
from worker.errors import ModelError
from worker.images.decode import ImageSize


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """The folder of version 1 of a model."""
    folder = tmp_path / "flowers" / "1"
    folder.mkdir(parents=True)
    return folder


def with_images(folder: Path, *names: str) -> Path:
    """A folder of empty files with these names."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def test_no_samples_are_looked_for_unless_a_precision_is_to_be_chosen(model: Path) -> None:
    """A folder of samples beside a model means nothing by itself."""
    with_images(model / "samples", "a.jpg")
    assert sample_files(ModelSource(path=model)) == []


def test_samples_of_a_version_go_before_those_of_all_versions(model: Path) -> None:
    """The folder in the model's, else the one next to it; images below it, sorted; no other files."""
    beside = with_images(model.parent / "samples", "rose/2.jpg", "iris/1.PNG", "notes.txt")
    source = ModelSource(path=model, precision="auto")
    assert sample_files(source) == [beside / "iris/1.PNG", beside / "rose/2.jpg"]
    inside = with_images(model / "samples", "3.jpg")
    assert sample_files(source) == [inside / "3.jpg"]
    assert sample_files(ModelSource(path=model / "m.onnx", precision="auto")) == [inside / "3.jpg"]
    assert len(sample_files(ModelSource(path=model, precision="auto", samples=beside))) == 2


def test_without_samples_the_error_says_where_they_belong(model: Path, tmp_path: Path) -> None:
    """No folder, and a folder without images, are told apart."""
    with pytest.raises(ModelError, match=r"name a folder of them with --samples, or put a folder samples beside"):
        sample_files(ModelSource(path=model, precision="auto"))
    empty = with_images(tmp_path / "empty", "notes.txt")
    with pytest.raises(ModelError, match=r"there is none in .*empty\.$"):
        sample_files(ModelSource(path=model, precision="auto", samples=empty))


def test_of_many_images_some_are_taken_at_equal_distances() -> None:
    """So that every label's folder keeps its share."""
    files = [Path(str(number)) for number in range(10)]
    assert evenly(files, 10) == files
    assert evenly(files, 5) == files[::2]


def test_how_many_images_an_agreement_needs() -> None:
    """99 in 100 cannot be told with 99 images; for 1 any number will do."""
    assert [count for count in (1, 99, 100, 500) if too_few(count, 0.99)] == [1, 99]
    assert not too_few(1, 1.0)


def test_damaged_samples_are_left_out_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The others have the size that the model takes; where none is left, the first one's fault is told."""
    good, bad = tmp_path / "good.jpg", tmp_path / "bad.jpg"
    good.write_bytes(chelsea_jpeg())
    bad.write_bytes(b"no image")
    spec = InputSpec(ImageSize(24, 32))
    images = decoded_samples([bad, good], spec, max_pixels=10**6)
    assert [image.shape for image in images] == [(24, 32, 3)]
    assert "1 of 2 sample images are left out, first" in caplog.text
    with pytest.raises(ModelError, match=r"None of the 1 sample images can be decoded; the first is .*bad\.jpg: This"):
        decoded_samples([bad], spec, max_pixels=10**6)
