"""Labels are read from a file, one name per line."""

from __future__ import annotations

from pathlib import Path

import pytest

from worker.artifacts.labels import read_labels, write_labels
from worker.errors import ModelError


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


def test_numbers_before_names_are_no_part_of_them(tmp_path: Path) -> None:
    """Lines that count from 0 lose their number, as Teachable Machine writes them; names that are numbers stay."""
    (tmp_path / "labels.txt").write_text("0 cat\n1 big dog\n")
    assert read_labels(tmp_path / "labels.txt", classes=2) == ("cat", "big dog")
    for names in (("0", "1"), ("1 cat", "2 dog"), ("0 cat", "dog")):
        write_labels(tmp_path, names)
        assert read_labels(tmp_path / "labels.txt", classes=2) == names
