"""A folder of the cache is built once, by one process at a time, and completely."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from worker.system.build_once import build_once
from worker.system.file_lock import file_lock


def build(part: Path) -> None:
    (part / "file").write_text("whole")


def test_a_folder_is_built_once(tmp_path: Path) -> None:
    """The second call finds the folder of the first; what killed processes left is removed before building."""
    (tmp_path / "making-abandoned").mkdir()
    assert (build_once(tmp_path / "model", build) / "file").read_text() == "whole"
    build_once(tmp_path / "model", lambda _: pytest.fail("built twice"))
    assert sorted(each.name for each in tmp_path.iterdir()) == [".lock", "model"]


def test_a_failed_build_leaves_nothing(tmp_path: Path) -> None:
    """An error of the builder is raised, and neither the folder nor a part of it is there."""
    with pytest.raises(ZeroDivisionError):
        build_once(tmp_path / "model", lambda _: 1 / 0)
    assert [each.name for each in tmp_path.iterdir()] == [".lock"]


def test_a_process_that_is_stopped_while_it_builds_blocks_no_other(tmp_path: Path) -> None:
    """After a while the others build themselves, and leave alone what the stopped one has begun."""
    (tmp_path / "making-begun").mkdir()
    with file_lock(tmp_path / ".lock"):
        assert (build_once(tmp_path / "model", build, within_s=0.1) / "file").exists()
    assert (tmp_path / "making-begun").is_dir()


def test_of_two_that_build_at_once_the_quicker_counts(tmp_path: Path) -> None:
    """Where the lock does not hold them apart, the slower one uses the folder that is there by then."""

    def overtaken(part: Path) -> None:
        build(part)
        build(Path(tmp_path / "model").mkdir() or tmp_path / "model")

    with file_lock(tmp_path / ".lock"):
        thread = threading.Thread(target=build_once, args=(tmp_path / "model", overtaken), kwargs={"within_s": 0.1})
        thread.start()
        thread.join(10)
    assert sorted(each.name for each in tmp_path.iterdir()) == [".lock", "model"]
