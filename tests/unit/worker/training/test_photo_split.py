"""Photos are found by folder and assigned to parts by content."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.errors import RetrainError
from worker.training.photo_split import Part, assign, find_photos

digests = st.lists(st.text(min_size=1, max_size=12), min_size=5, max_size=40, unique=True)


def parts_of(contents: Sequence[str], *, kept: Mapping[str, Part] | None = None) -> list[Part]:
    """The parts of photos with these contents, all of one label, each in a file of another name."""
    found = assign({"label": [(f"{n}.jpg", each) for n, each in enumerate(contents)]}, kept=kept or {})
    return [found[each] for each in contents]


@given(digests)
def test_every_part_has_a_photo(contents: list[str]) -> None:
    """From five photos on, there is one to train, one to validate and one to test with."""
    assert set(parts_of(contents)) == {"train", "validation", "test"}


@given(digests, st.randoms())
def test_the_order_of_the_files_does_not_matter(contents: list[str], random: object) -> None:
    """A photo's part hangs on contents, not on the order in which a disk gives them, nor on names."""
    parts = dict(zip(contents, parts_of(contents), strict=True))
    shuffled = contents.copy()
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # a random.Random of hypothesis
    assert dict(zip(shuffled, parts_of(shuffled), strict=True)) == parts


def test_more_photos_move_none_of_the_old() -> None:
    """With photos added, every old one stays in its part."""
    few, many = [f"{n}" for n in range(200)], [f"{n}" for n in range(1000)]
    assert parts_of(many)[:200] == parts_of(few)


@given(digests, digests)
def test_more_photos_move_none_of_the_few(few: list[str], more: list[str]) -> None:
    """With what an earlier run kept, that holds for few photos, too, where a part was filled against the hashes."""
    first = dict(zip(few, parts_of(few), strict=True))
    grown = list(dict.fromkeys(few + more))
    second = dict(zip(grown, parts_of(grown, kept=first), strict=True))
    assert {each: second[each] for each in few} == first


@given(digests, st.lists(st.integers(0, 4), min_size=1, max_size=9))
def test_copies_of_a_photo_stay_together(contents: list[str], copied: list[int]) -> None:
    """Photos with the same content have one part, within a label and over labels: none is tested that was trained."""
    copies = [contents[n] for n in copied]
    first = [(f"{n}.jpg", each) for n, each in enumerate(contents + copies)]
    second = [(f"{n}.jpg", each) for n, each in enumerate(copies + [f"other {n}" for n in range(9)])]
    found = assign({"a": first, "b": second}, kept={})
    assert found.keys() == {each for _, each in first + second}


def test_about_a_tenth_tests_and_a_tenth_validates() -> None:
    """Of many photos the shares are those of retrain.py."""
    parts = parts_of([f"{n}" for n in range(5000)])
    assert 400 < parts.count("test") < 600
    assert 400 < parts.count("validation") < 600


def test_variants_of_a_photo_stay_together() -> None:
    """What follows _nohash_ does not count, as in retrain.py: crops of one photo are not tested on each other."""
    many = [(f"{n}.jpg", f"{n}") for n in range(100)]
    crops = [(f"{n}.jpg_nohash_{v}", f"{n} cut {v}") for n in range(100) for v in range(2)]
    found = assign({"label": [*many, *crops]}, kept={})
    parts = [found[digest] for _, digest in [*many, *crops]]
    assert parts[100::2] == parts[101::2] == parts[:100]


def test_a_copy_of_a_variant_stays_with_the_variants() -> None:
    """A crop that was saved again under another name is in the part of the photo that it was cut from."""
    photos = [(f"{n}_nohash_{v}.jpg", f"{n} cut {v}") for n in range(100) for v in range(2)]
    found = assign({"label": [*photos, *((f"copy of {n}.jpg", f"{n} cut 1") for n in range(100))]}, kept={})
    assert all(found[f"{n} cut 0"] == found[f"{n} cut 1"] for n in range(100))


def test_too_few_photos_are_an_error() -> None:
    """Fewer than five usable photos of a label are named with the label, and so are copies of two photos."""
    with pytest.raises(RetrainError, match="'label' has 4 usable photos; it needs 5 or more"):
        parts_of(["a", "b", "c", "d"])
    with pytest.raises(RetrainError, match="'label' has 6 usable photos, of which only 2 differ"):
        parts_of(["a", "b", "a", "b", "a", "b"])


def test_folders_are_labels(tmp_path: Path) -> None:
    """Sub-folders are labels in order; hidden ones, loose files and the out folder are none."""
    for folder in ("rose", "daisy", ".git", "out"):
        (tmp_path / folder).mkdir()
    for file in ("rose/b.jpg", "rose/a.png", "rose/.hidden", "daisy/c", "loose.jpg"):
        (tmp_path / file).touch()
    found = find_photos(tmp_path, out=tmp_path / "out", say=print)
    assert {label: [file.name for file in files] for label, files in found.items()} == {
        "daisy": ["c"],
        "rose": ["a.png", "b.jpg"],
    }
    assert list(found) == ["daisy", "rose"]


def test_fewer_than_two_labels_are_an_error(tmp_path: Path) -> None:
    """No folder, an empty one, and one with a single label: each says what is needed."""
    with pytest.raises(RetrainError, match="There is no folder"):
        find_photos(tmp_path / "none", out=tmp_path, say=print)
    (tmp_path / "photos" / "rose").mkdir(parents=True)
    with pytest.raises(RetrainError, match="has 1 sub-folder; it needs two or more"):
        find_photos(tmp_path / "photos", out=tmp_path, say=print)


def photos_in(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_photos_below_and_linked_folders_count(tmp_path: Path) -> None:
    """Photos one folder deeper, folders that are links, and a link to a folder above: each photo is taken once."""
    photos_in(tmp_path, "photos/rose/1.jfif", "photos/rose/garden/2.jpg", "disk/daisy/3.jpg")
    (tmp_path / "photos" / "daisy").symlink_to(tmp_path / "disk" / "daisy")
    (tmp_path / "photos" / "rose" / "up").symlink_to(tmp_path / "photos" / "rose")
    found = find_photos(tmp_path / "photos", out=tmp_path / "out", say=print)
    assert {label: [file.name for file in files] for label, files in found.items()} == {
        "daisy": ["3.jpg"],
        "rose": ["1.jfif", "2.jpg"],
    }


def test_what_a_run_has_written_is_no_label_of_the_next(tmp_path: Path) -> None:
    """Models below the photos, this one's folder or another's, are left out; --out must not be the photos' folder."""
    photos_in(tmp_path, "rose/1.jpg", "daisy/2.jpg")
    for out in ("out/m", "rose/m", "out"):
        photos_in(tmp_path, f"{out}/saved_model.pb", f"{out}/bottlenecks/1/a.npy")
        found = find_photos(tmp_path, out=tmp_path / out, say=print)
        assert {label: len(files) for label, files in found.items()} == {"daisy": 1, "rose": 1}
    lines: list[str] = []
    assert list(find_photos(tmp_path, out=tmp_path / "rose" / "m", say=lines.append)) == ["daisy", "rose"]
    assert lines == [f"{tmp_path / 'out'} is left out: it holds a model."]
    with pytest.raises(RetrainError, match="the same folder"):
        find_photos(tmp_path, out=tmp_path, say=print)


@pytest.mark.parametrize("name", ["caf\udce9", "a\nb", " a"])
def test_folders_that_cannot_name_a_label_are_refused_before_training(tmp_path: Path, name: str) -> None:
    """A label is a line of UTF-8 in labels.txt: other names are refused at once, and shown in ASCII."""
    photos_in(tmp_path, f"{name}/1.jpg", "rose/1.jpg")
    with pytest.raises(RetrainError, match=r"cannot name a label: a label is printable text in UTF-8") as refusal:
        find_photos(tmp_path, out=tmp_path / "out", say=print)
    assert str(refusal.value).isascii()
