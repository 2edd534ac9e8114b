"""Of files found, the usable ones get parts, and those that would betray a test are left out."""

from __future__ import annotations

from pathlib import Path

from worker.training.photos.find import FoundPhotos, PhotoFile
from worker.training.photos.split import Part, Shares
from worker.training.photos.used import used_photos


def files(*named: tuple[str, str, Part | None]) -> FoundPhotos:
    return FoundPhotos(tuple(PhotoFile(Path(name), label, part) for name, label, part in named), ())


def test_each_usable_file_is_used_once() -> None:
    """Files without a digest could not be read; copies are used as often as they are there, in one part."""
    found = files(*((f"{label}{n}", label, None) for label in "ab" for n in range(20)))
    digests = {Path(f"{label}{n}"): f"{label}{n // 2}" for label in "ab" for n in range(20) if n != 19}
    used = used_photos(found, digests, kept={}, alike=[], shares=Shares())
    assert (len(used.photos), used.left_out, used.labels) == (38, (), ("a", "b"))
    parts = {photo.path.name: photo.part for photo in used.photos}
    assert all(parts[f"{label}{n}"] == parts[f"{label}{n + 1}"] for label in "ab" for n in range(0, 18, 2))


def test_a_copy_of_a_test_photo_does_not_train() -> None:
    """Where folders name parts, a copy in train/ of a photo in test/ is left out, with the reason."""
    named = [(f"{part}-{label}{n}", label, part) for part in ("train", "test") for label in "ab" for n in range(5)]
    found = files(*named, ("copy", "a", "train"))
    digests = {file.path: file.path.name for file in found.files} | {Path("copy"): "test-a0"}
    used = used_photos(found, digests, kept={}, alike=[], shares=Shares(validation=0))
    assert [str(each) for each in used.left_out] == ["copy is left out: a photo like it is for testing."]
    assert all(photo.part == photo.path.name.partition("-")[0] for photo in used.photos)


def test_without_a_folder_for_validation_training_photos_validate() -> None:
    """Of train/ and test/ alone, a share of train/ validates, and nothing of it tests."""
    named = [(f"{part}-{label}{n}", label, part) for part in ("train", "test") for label in "ab" for n in range(50)]
    found = files(*named)
    used = used_photos(found, {file.path: file.path.name for file in found.files}, kept={}, alike=[], shares=Shares())
    parts = {photo.path.name: photo.part for photo in used.photos}
    assert {part for name, part in parts.items() if name.startswith("test")} == {"test"}
    assert {part for name, part in parts.items() if name.startswith("train")} == {"train", "validation"}
