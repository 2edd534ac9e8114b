"""Watched files: changes are taken up, and what cannot be used leaves the last good content."""

from __future__ import annotations

import logging
import os

import pytest

from registry.runtime.errors import SettingsError
from registry.runtime.file_watch import WatchedFiles


def watched(*paths) -> WatchedFiles[int]:
    """The number that the texts of the files make together."""

    def number() -> int:
        try:
            return int("".join(path.read_text() for path in paths))
        except (OSError, ValueError):
            raise SettingsError("There is no number.") from None

    return WatchedFiles(paths, number, what="The file")


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "file"
    path.write_text("1")
    return path


async def test_a_change_is_taken_up_and_told_once(path):
    """Whoever decides by the content is told of each change, and of nothing else."""
    file, told = watched(path), []
    file.on_change.append(lambda: told.append(file.value))
    await file.look()
    path.write_text("2")
    await file.look()
    await file.look()
    assert (file.value, told) == (2, [2])


async def test_a_file_that_is_replaced_is_another_file(path):
    """Editors and Kubernetes put a new file in the place of the old one, of the same size and time."""
    file, new = watched(path), path.with_name("new")
    new.write_text("3")
    os.utime(new, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    new.rename(path)
    await file.look()
    assert file.value == 3


async def test_a_content_that_becomes_invalid_leaves_the_last_good_one(path, caplog):
    """The error is logged once, and the next good content is taken up."""
    file = watched(path)
    path.write_text("secret text")
    await file.look()
    await file.look()
    (record,) = caplog.records
    assert (file.value, record.levelno) == (1, logging.ERROR)
    assert record.getMessage() == "There is no number. The last good content stays in use."
    path.write_text("4")
    await file.look()
    assert file.value == 4


async def test_a_file_that_goes_and_comes_back(path, caplog):
    """While it is away the last good content holds, and one line says so."""
    file = watched(path)
    path.unlink()
    await file.look()
    await file.look()
    assert (file.value, len(caplog.records)) == (1, 1)
    path.write_text("5")
    await file.look()
    assert file.value == 5


async def test_several_files_are_read_when_all_have_been_replaced(path, caplog):
    """A certificate and its key are written one after the other: between the two nothing is read."""
    other = path.with_name("other")
    other.write_text("0")
    files = watched(path, other)
    path.write_text("x")
    await files.look()
    path.write_text("7")
    other.write_text("89")
    await files.look()
    assert (files.value, caplog.records) == (10, [])
    await files.look()
    assert files.value == 789


def test_files_that_cannot_be_used_at_the_start_are_an_error(path):
    """The error of the function that reads them is passed on."""
    with pytest.raises(SettingsError, match=r"^There is no number\.$"):
        watched(path.with_name("none"))
