"""Photos are assigned to parts by content; those that are alike stay together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.errors import RetrainError
from worker.training.photos.split import Part, Shares, assign

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


def test_near_duplicates_stay_together() -> None:
    """Pairs that are alike are in one part, over labels too, and chains of them as a whole."""
    photos = [(f"{n}.jpg", f"{n}") for n in range(200)]
    pairs = [(f"{n}", f"{n + 100}") for n in range(100)] + [("0", "other 0"), ("other 0", "other 1")]
    found = assign({"a": photos, "b": [(f"{n}.jpg", f"other {n}") for n in range(20)]}, kept={}, alike=pairs)
    assert all(found[one] == found[other] for one, other in pairs)


def test_a_photo_that_joins_two_parts_is_not_used() -> None:
    """What is like a photo for testing and like one for training, of an earlier run, would betray the test."""
    photos = [(f"{n}.jpg", f"{n}") for n in range(40)]
    first = assign({"label": photos}, kept={})
    tested = next(digest for digest, part in first.items() if part == "test")
    trained = next(digest for digest, part in first.items() if part == "train")
    pairs = [(tested, "between"), ("between", trained)]
    second = assign({"label": [*photos, ("new.jpg", "between")]}, kept=first, alike=pairs)
    assert second == first


def test_folders_name_parts() -> None:
    """Photos stay where their folders put them; of a group in two parts, the photos for testing are used."""
    photos = [(f"{n}.jpg", f"{n}") for n in range(9)]
    fixed: dict[str, Part] = {f"{n}": "test" if n < 3 else "train" for n in range(9)}
    found = assign({"a": photos}, kept={}, fixed=fixed, alike=[("0", "5")], shares=Shares(0, 0))
    assert found == {digest: part for digest, part in fixed.items() if digest != "5"}


def test_shares_are_those_asked_for() -> None:
    """Per cent for testing and validation hold over many photos; a share of 0 leaves the part empty."""
    named = [(f"{n}.jpg", f"{n}") for n in range(2000)]
    parts = list(assign({"a": named}, kept={}, shares=Shares(test=30, validation=0)).values())
    assert 520 < parts.count("test") < 680
    assert parts.count("validation") == 0


def test_a_label_that_is_only_tested_is_an_error() -> None:
    """A label without a photo to train on is named."""
    photos = {"a": [(f"{n}.jpg", f"a{n}") for n in range(6)], "b": [(f"{n}.jpg", f"b{n}") for n in range(6)]}
    fixed: dict[str, Part] = {f"a{n}": "test" for n in range(6)} | {f"b{n}": "train" for n in range(6)}
    with pytest.raises(RetrainError, match="'a' has no photo to train on"):
        assign(photos, kept={}, fixed=fixed, shares=Shares(0, 0))
