"""Where the default model cannot be made or kept, the error is a sentence that names the folder."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import NoReturn

import pytest

from worker.default_model import export
from worker.errors import ModelError

FULL = os.strerror(errno.ENOSPC)


class FrameworkError(Exception):
    """An error as TensorFlow raises it, which is no OSError."""


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (OSError(errno.ENOSPC, FULL), "cannot be kept in .*No space left on device.*name another folder"),
        (FrameworkError(f"Failed to write; {FULL}\n\ttrace"), "cannot be made in .*No space left on device.*make room"),
        (ModelError("The default model is not installed: it says how."), "^The default model is not installed"),
    ],
)
def test_a_full_disk_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, sentence: str
) -> None:
    """Errors of the system, of the framework and of the package all come as ModelError; nothing stays behind."""

    def fails(_: object) -> NoReturn:
        raise error

    monkeypatch.setattr(export, "call_in_child_blocking", fails)
    with pytest.raises(ModelError, match=sentence) as raised:
        export.exported(tmp_path)
    assert "\n" not in str(raised.value)
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []
