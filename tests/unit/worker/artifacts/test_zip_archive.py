"""Members of a zip archive are found, and a damaged archive is told from a file that is none."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from worker.artifacts.damaged import Damaged
from worker.artifacts.zip_archive import member_of


def written(path: Path) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/one.json", "1" * 1000)
        archive.writestr("b/two.json", "2")
    return path


def test_the_first_wanted_member_is_read(tmp_path: Path) -> None:
    """By its name; None without one, or of a file that is no archive."""
    path = written(tmp_path / "m.zip")
    assert member_of(path, lambda name: name.endswith(".json")) == b"1" * 1000
    assert member_of(path, lambda name: name.startswith("b/")) == b"2"
    assert member_of(path, lambda name: name == "one.json") is None
    (tmp_path / "text").write_text("no archive")
    assert member_of(tmp_path / "text", lambda name: True) is None


@pytest.mark.parametrize("damaged", [b"a/one.json", b"PK\x01\x02"])
def test_a_damaged_archive_is_told(tmp_path: Path, damaged: bytes) -> None:
    """What follows a member's first name is its content; its list of files starts with a mark."""
    path = written(tmp_path / "m.zip")
    content = path.read_bytes()
    at = content.index(damaged) + (len(damaged) if damaged.endswith(b"json") else 0)
    path.write_bytes(content[:at] + b"\xff\xff" + content[at + 2 :])
    with pytest.raises(Damaged):
        member_of(path, lambda name: name.endswith(".json"))


def test_an_encrypted_member_cannot_be_read(tmp_path: Path) -> None:
    """Nobody has its password."""
    path = written(tmp_path / "m.zip")
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1  # the flag that a member is encrypted, in the list of files
    path.write_bytes(content)
    with pytest.raises(Damaged, match="cannot be unpacked"):
        member_of(path, lambda name: name.endswith(".json"))
