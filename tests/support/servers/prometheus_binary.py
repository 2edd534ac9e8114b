"""A real Prometheus and its promtool for tests: on the PATH, or Debian's package unpacked into the user's cache."""

from __future__ import annotations

import functools
import os
import platform
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.consul_binary.errors import FetchFailed
from tests.support.packaging.debian_package import unpacked_package

_SUITE = "bookworm"  # Prometheus 2.42


@dataclass(frozen=True, slots=True)
class Prometheus:
    """The paths of the two binaries."""

    prometheus: Path
    promtool: Path


@functools.cache
def find_or_skip() -> Prometheus:
    """The binaries; where there are none and none can be fetched, the test is skipped with the reason."""
    on_path = shutil.which("prometheus"), shutil.which("promtool")
    if on_path[0] and on_path[1]:
        return Prometheus(Path(on_path[0]), Path(on_path[1]))
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    kept = cache / "p2p-serving" / "prometheus" / f"{_SUITE}-{platform.machine()}"
    if not (kept / "promtool").exists():
        try:
            _fetch(kept)
        except FetchFailed as error:
            pytest.skip(f"no Prometheus: {error}")
    return Prometheus(kept / "prometheus", kept / "promtool")


def _fetch(target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="fetching-", dir=target.parent) as folder:
        binaries = unpacked_package(Path(folder), "prometheus", suite=_SUITE) / "usr" / "bin"
        try:
            binaries.rename(target)
        except OSError:  # another process was faster
            if not target.is_dir():
                raise
