"""A watched file: changes are taken up, and what cannot be used leaves the last good content."""

from __future__ import annotations

import logging
import os

import pytest

from registry.runtime.errors import SettingsError
from registry.runtime.file_watch import WatchedFile


def number(text: str) -> int:
    if not text.strip().isdigit():
        raise SettingsError("It is no number.")
    return int(text)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "file"
    path.write_text("1")
    path.chmod(0o600)
    return path


async def test_a_change_is_taken_up_and_told_once(path):
    """Whoever decides by the content is told of each change, and of nothing else."""
    file, told = WatchedFile(path, number, what="The file"), []
    file.on_change.append(lambda: told.append(file.value))
    await file.look()
    path.write_text("2")
    await file.look()
    await file.look()
    assert (file.value, told) == (2, [2])


async def test_a_file_that_is_replaced_is_another_file(path):
    """Editors and Kubernetes put a new file in the place of the old one, of the same size and time."""
    file, new = WatchedFile(path, number, what="The file"), path.with_name("new")
    new.write_text("3")
    os.utime(new, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    new.rename(path)
    await file.look()
    assert file.value == 3


@pytest.mark.parametrize("content", [b"secret text", b"", b"\xff\xfe"])
async def test_a_file_that_becomes_invalid_leaves_the_last_good_content(path, content, caplog):
    """The error is logged once, without the content, and the next good content is taken up."""
    file = WatchedFile(path, number, what="The file")
    path.write_bytes(content)
    await file.look()
    await file.look()
    (record,) = caplog.records
    assert (file.value, record.levelno) == (1, logging.ERROR)
    assert record.getMessage().startswith(f"The file {path} ")
    assert record.getMessage().endswith("The last good content stays in use.")
    assert "secret" not in caplog.text
    path.write_text("4")
    await file.look()
    assert file.value == 4


async def test_a_file_that_goes_and_comes_back(path, caplog):
    """While it is away the last good content holds, and one line says so."""
    file = WatchedFile(path, number, what="The file")
    path.unlink()
    await file.look()
    await file.look()
    assert (file.value, len(caplog.records)) == (1, 1)
    assert "cannot be read: No such file or directory." in caplog.text
    path.write_text("5")
    path.chmod(0o600)
    await file.look()
    assert file.value == 5


def test_a_file_that_cannot_be_used_at_the_start_is_an_error(path):
    """One sentence names the file and the reason."""
    path.write_text("x")
    with pytest.raises(SettingsError, match=r"The file .*/file cannot be used: It is no number\."):
        WatchedFile(path, number, what="The file")
    with pytest.raises(SettingsError, match=r"cannot be read: No such file or directory\."):
        WatchedFile(path.with_name("none"), number, what="The file")


@pytest.mark.parametrize(("mode", "warnings"), [(0o600, 0), (0o640, 0), (0o644, 1), (0o602, 1)])
async def test_one_warning_where_every_user_may_open_it(path, mode, warnings, caplog):
    """A group may be meant to read it; everybody is not, and one line for the life of the process says so."""
    path.chmod(mode)
    file = WatchedFile(path, number, what="The file")
    path.write_text("6")
    await file.look()
    assert [r.levelno for r in caplog.records if r.levelno >= logging.WARNING] == [logging.WARNING] * warnings
    assert file.value == 6
