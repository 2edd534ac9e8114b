"""A model's folder -> the folder of its next version, which appears complete or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from worker.artifacts.version_folders import version_folders
from worker.errors import RetrainError


def check_versions(out: Path) -> None:
    """Raise RetrainError if `out` cannot hold versions: it cannot be written, or holds a model itself."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise RetrainError(f"{out} cannot be written ({error}): name another folder with --out.") from error
    if (out / "saved_model.pb").exists():
        raise RetrainError(
            f"{out} holds a model without versions, and a worker would go on serving that: move its files to "
            f"{out / '1'}, or name another folder with --out."
        )


@contextmanager
def version_in_making(out: Path) -> Iterator[Path]:
    """A hidden folder in `out` to fill and to `publish`; it is removed if it was not published."""
    making = Path(tempfile.mkdtemp(prefix=".making-", dir=out))  # a hidden folder is no version
    try:
        making.chmod(0o755)
        yield making
    finally:
        shutil.rmtree(making, ignore_errors=True)


def publish(making: Path, out: Path) -> Path:
    """Make the folder the next numbered version in `out`, at once; returns the version's folder."""
    number = max(map(int, version_folders(out)), default=0) + 1
    while True:
        version = out / str(number)
        try:
            os.rename(making, version)
        except OSError:
            if not version.exists():
                raise
            number += 1  # another run was quicker
        else:
            return version
