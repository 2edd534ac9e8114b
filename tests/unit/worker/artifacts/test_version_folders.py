"""The numbered folders of a model, and when their files have changed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from worker.artifacts import version_folders


def put(root: Path, *names: str, text: str = "x") -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def test_numbered_folders_with_files_are_versions(tmp_path: Path) -> None:
    """Leading zeros do not count; other names, files and empty folders are no versions."""
    put(tmp_path, "1/saved_model.pb", "0002/variables/variables.index", "3.tmp/x", ".4/x", "v5/x", "6")
    (tmp_path / "7" / "variables").mkdir(parents=True)
    assert sorted(version_folders.list_versions(tmp_path)) == ["1", "2"]
    assert version_folders.version_folders(tmp_path)["2"] == tmp_path / "0002"


@pytest.mark.parametrize("change", ["grow", "add", "remove", "rename", "touch", "replace"])
def test_every_change_is_seen(tmp_path: Path, change: str) -> None:
    """A file that grows, comes, goes, is renamed, or is written anew with the same size and time: another print."""
    put(tmp_path, "1/a", "1/sub/b")
    before = version_folders.list_versions(tmp_path)["1"]
    assert version_folders.list_versions(tmp_path)["1"].fingerprint == before.fingerprint
    a = tmp_path / "1" / "a"
    old = a.stat()
    if change == "grow":
        put(tmp_path, "1/sub/b", text="xy")
    elif change == "add":
        put(tmp_path, "1/sub/c")
    elif change == "remove":
        a.unlink()
    elif change == "rename":
        a.rename(a.with_name("z"))
    elif change == "touch":
        os.utime(a)
    else:
        while a.stat().st_ctime_ns == old.st_ctime_ns:  # the clock of a file system may tick slowly
            a.write_text("y")
            os.utime(a, ns=(old.st_atime_ns, old.st_mtime_ns))
    assert version_folders.list_versions(tmp_path)["1"].fingerprint != before.fingerprint


def test_files_become_quiet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that were written just now are not quiet, whatever time they carry; left alone they are."""
    put(tmp_path, "1/a")
    os.utime(tmp_path / "1" / "a", (0, 0))  # as `cp -a` and `rsync -a` do
    assert not version_folders.list_versions(tmp_path)["1"].quiet
    monkeypatch.setattr(version_folders, "QUIET_S", -1.0)
    assert version_folders.list_versions(tmp_path)["1"].quiet
