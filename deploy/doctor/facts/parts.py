"""Which versions of our distributions, of what they build on, and which engines are installed here."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Sequence

from deploy.doctor.findings.parts import PartsFacts

_DISTRIBUTIONS = ("p2p-serving", "p2p-serving-client", "aiohttp", "py-consul", "uvloop")


def parts_facts() -> PartsFacts:
    """What is installed; no engine is imported."""
    return PartsFacts(platform.python_version(), {name: _version(name) for name in _DISTRIBUTIONS}, _engines())


def _engines() -> Sequence[str]:
    """The names of the engines whose packages are installed."""
    try:
        from worker.engines.frameworks import FRAMEWORKS
    except ModuleNotFoundError:  # NumPy, without which there is no engine: a lookup service's host has none
        return ()
    return [framework.name for framework in FRAMEWORKS.values() if framework.name != "echo" and framework.installed]


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
