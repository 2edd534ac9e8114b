"""Photos are found by folder and assigned to parts by name alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.errors import RetrainError
from worker.training.photo_split import assign, find_photos

names = st.lists(st.text(min_size=1, max_size=12), min_size=5, max_size=40, unique=True)


@given(names)
def test_every_part_has_a_photo(files: list[str]) -> None:
    """From five photos on, there is one to train, one to validate and one to test with."""
    assert set(assign("label", files)) == {"train", "validation", "test"}


@given(names, st.randoms())
def test_the_order_of_the_files_does_not_matter(files: list[str], random: object) -> None:
    """A photo's part hangs on names, not on the order in which a disk gives them."""
    parts = dict(zip(files, assign("label", files), strict=True))
    shuffled = files.copy()
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # a random.Random of hypothesis
    assert dict(zip(shuffled, assign("label", shuffled), strict=True)) == parts


def test_more_photos_move_none_of_the_old() -> None:
    """With photos added, every old one stays in its part."""
    few, many = [f"{n}.jpg" for n in range(200)], [f"{n}.jpg" for n in range(1000)]
    assert assign("label", many)[:200] == assign("label", few)


def test_about_a_tenth_tests_and_a_tenth_validates() -> None:
    """Of many photos the shares are those of retrain.py."""
    parts = assign("label", [f"{n}.jpg" for n in range(5000)])
    assert 400 < parts.count("test") < 600
    assert 400 < parts.count("validation") < 600


def test_variants_of_a_photo_stay_together() -> None:
    """What follows _nohash_ does not count, as in retrain.py: crops of one photo are not tested on each other."""
    many = [f"{n}.jpg" for n in range(100)]
    parts = assign("label", [*many, *(f"{n}.jpg_nohash_{v}" for n in range(100) for v in range(2))])
    assert parts[100::2] == parts[101::2] == parts[:100]


def test_too_few_photos_are_an_error() -> None:
    """Fewer than five usable photos of a label are named with the label."""
    with pytest.raises(RetrainError, match="'rose' has 4 usable photos; it needs 5 or more"):
        assign("rose", ["a", "b", "c", "d"])


def test_folders_are_labels(tmp_path: Path) -> None:
    """Sub-folders are labels in order; hidden ones, loose files and the out folder are none."""
    for folder in ("rose", "daisy", ".git", "out"):
        (tmp_path / folder).mkdir()
    for file in ("rose/b.jpg", "rose/a.png", "rose/.hidden", "daisy/c", "loose.jpg"):
        (tmp_path / file).touch()
    found = find_photos(tmp_path, exclude=tmp_path / "out")
    assert {label: [file.name for file in files] for label, files in found.items()} == {
        "daisy": ["c"],
        "rose": ["a.png", "b.jpg"],
    }
    assert list(found) == ["daisy", "rose"]


def test_fewer_than_two_labels_are_an_error(tmp_path: Path) -> None:
    """No folder, an empty one, and one with a single label: each says what is needed."""
    with pytest.raises(RetrainError, match="There is no folder"):
        find_photos(tmp_path / "none", exclude=tmp_path)
    (tmp_path / "photos" / "rose").mkdir(parents=True)
    with pytest.raises(RetrainError, match="has 1 sub-folder; it needs two or more"):
        find_photos(tmp_path / "photos", exclude=tmp_path)
