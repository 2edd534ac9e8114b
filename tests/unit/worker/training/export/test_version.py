"""A new version appears as a whole, with the next number."""

from __future__ import annotations

from pathlib import Path

import pytest

from worker.errors import RetrainError
from worker.training.export.version import check_versions, publish, version_in_making


def test_versions_are_numbered(tmp_path: Path) -> None:
    """The first is 1, the next one higher than the highest; while one is made nothing is a version."""
    for expected in ("1", "2"):
        with version_in_making(tmp_path) as making:
            (making / "saved_model.pb").touch()
            assert not (tmp_path / expected).exists()
            assert publish(making, tmp_path) == tmp_path / expected
    (tmp_path / "007").mkdir()
    with version_in_making(tmp_path) as making:
        assert publish(making, tmp_path).name == "8"


def test_nothing_stays_of_a_version_that_failed(tmp_path: Path) -> None:
    """An error while a version is made leaves the folder as it was."""
    with pytest.raises(ValueError, match="full"), version_in_making(tmp_path):
        raise ValueError("full")
    assert not any(tmp_path.iterdir())


def test_a_folder_that_cannot_hold_versions_is_named(tmp_path: Path) -> None:
    """A file, and a folder that is a model itself, are refused before anything is computed."""
    (tmp_path / "file").touch()
    with pytest.raises(RetrainError, match="name another folder with --out"):
        check_versions(tmp_path / "file")
    (tmp_path / "saved_model.pb").touch()
    with pytest.raises(RetrainError, match="holds a model without versions"):
        check_versions(tmp_path)
