"""Photos are found by folder, and what is left out is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from worker.errors import RetrainError
from worker.training.photos.find import FoundPhotos, find_photos


def by_label(found: FoundPhotos) -> dict[str, list[str]]:
    labels: dict[str, list[str]] = {label: [] for label in found.labels}
    for file in found.files:
        labels[file.label].append(file.path.name)
    return labels


def test_folders_are_labels(tmp_path: Path) -> None:
    """Sub-folders are labels in order; hidden ones, loose files and the out folder are none."""
    for folder in ("rose", "daisy", ".git", "out"):
        (tmp_path / folder).mkdir()
    for file in ("rose/b.jpg", "rose/a.png", "rose/.hidden", "daisy/c", "loose.jpg"):
        (tmp_path / file).touch()
    found = find_photos(tmp_path, out=tmp_path / "out")
    assert by_label(found) == {"daisy": ["c"], "rose": ["a.png", "b.jpg"]}
    assert found.labels == ("daisy", "rose")
    assert {(each.path.name, each.reason) for each in found.left_out} == {
        (".git", "it is hidden"),
        (".hidden", "it is hidden"),
        ("loose.jpg", "it is in no folder of a label"),
        ("out", "the model goes there"),
    }


def test_fewer_than_two_labels_are_an_error(tmp_path: Path) -> None:
    """No folder, an empty one, and one with a single label: each says what is needed."""
    with pytest.raises(RetrainError, match="There is no folder"):
        find_photos(tmp_path / "none", out=tmp_path)
    (tmp_path / "photos" / "rose").mkdir(parents=True)
    with pytest.raises(RetrainError, match="has 1 sub-folder; it needs two or more"):
        find_photos(tmp_path / "photos", out=tmp_path)


def photos_in(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_photos_below_and_linked_folders_count(tmp_path: Path) -> None:
    """Photos one folder deeper, folders that are links, and a link to a folder above: each photo is taken once."""
    photos_in(tmp_path, "photos/rose/1.jfif", "photos/rose/garden/2.jpg", "disk/daisy/3.jpg")
    (tmp_path / "photos" / "daisy").symlink_to(tmp_path / "disk" / "daisy")
    (tmp_path / "photos" / "rose" / "up").symlink_to(tmp_path / "photos" / "rose")
    found = find_photos(tmp_path / "photos", out=tmp_path / "out")
    assert by_label(found) == {"daisy": ["3.jpg"], "rose": ["1.jfif", "2.jpg"]}


def test_what_a_run_has_written_is_no_label_of_the_next(tmp_path: Path) -> None:
    """Models below the photos, this one's folder or another's, are left out; --out must not be the photos' folder."""
    photos_in(tmp_path, "rose/1.jpg", "daisy/2.jpg")
    for out in ("out/m", "rose/m", "out"):
        photos_in(tmp_path, f"{out}/1/saved_model.pb", f"{out}/2/saved_model.pb")
        found = find_photos(tmp_path, out=tmp_path / out)
        assert {label: len(files) for label, files in by_label(found).items()} == {"daisy": 1, "rose": 1}
    found = find_photos(tmp_path, out=tmp_path / "rose" / "m")
    assert found.labels == ("daisy", "rose")
    assert f"{tmp_path / 'out'} is left out: it holds a model." in map(str, found.left_out)
    with pytest.raises(RetrainError, match="the same folder"):
        find_photos(tmp_path, out=tmp_path)


def test_folders_for_parts_stand_above_labels(tmp_path: Path) -> None:
    """train/, val/ and test/ name the parts of the photos in them; a label called test beside others is a label."""
    photos_in(tmp_path, "a/train/rose/1.jpg", "a/Val/rose/2.jpg", "a/test/rose/3.jpg", "a/train/daisy/4.jpg")
    found = find_photos(tmp_path / "a", out=None)
    assert {(file.path.name, file.label, file.part) for file in found.files} == {
        ("1.jpg", "rose", "train"),
        ("2.jpg", "rose", "validation"),
        ("3.jpg", "rose", "test"),
        ("4.jpg", "daisy", "train"),
    }
    photos_in(tmp_path, "b/train/1.jpg", "b/test/2.jpg", "b/car/3.jpg")
    assert find_photos(tmp_path / "b", out=None).labels == ("car", "test", "train")


def test_a_label_without_photos_is_an_error(tmp_path: Path) -> None:
    """An empty folder is named: it would be a label that nothing was learned for."""
    photos_in(tmp_path, "rose/1.jpg", "daisy/2.jpg", "tulip/.hidden")
    with pytest.raises(RetrainError, match="'tulip' has 0 usable photos"):
        find_photos(tmp_path, out=None)


@pytest.mark.parametrize("name", ["caf\udce9", "a\nb", " a"])
def test_folders_that_cannot_name_a_label_are_refused_before_training(tmp_path: Path, name: str) -> None:
    """A label is a line of UTF-8 in labels.txt: other names are refused at once, and shown in ASCII."""
    photos_in(tmp_path, f"{name}/1.jpg", "rose/1.jpg")
    with pytest.raises(RetrainError, match=r"cannot name a label: a label is printable text in UTF-8") as refusal:
        find_photos(tmp_path, out=tmp_path / "out")
    assert str(refusal.value).isascii()
