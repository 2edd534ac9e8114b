"""Calls podman, which runs the machines: by runc, because crun refuses hybrid cgroups, with limits that hosts have."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

_CONFIGURATION = """
[containers]
default_ulimits = ["nofile=20000:20000", "nproc=30000:30000"]
[engine]
runtime = "runc"
"""


class PodmanError(Exception):
    """What podman said when it failed."""


def missing() -> str:
    """Why there can be no machines here; empty where there can."""
    programs = [name for name in ("podman", "runc", "debootstrap") if not shutil.which(name, path=_path())]
    if programs:
        return f"not installed: {', '.join(programs)}"
    return "" if os.geteuid() == 0 else "machines whose init is systemd need root"


def podman(*arguments: str | Path, timeout_s: float = 120.0, stdin: bytes | None = None) -> str:
    """Run podman; what it wrote. Raises PodmanError."""
    done = subprocess.run(
        ["podman", *arguments],
        env=os.environ | {"PATH": _path(), "CONTAINERS_CONF": str(configuration())},
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        timeout=timeout_s,
    )
    if done.returncode:
        words = " ".join(map(str, arguments[:4]))
        said = (done.stdout + done.stderr).decode(errors="replace").strip()
        raise PodmanError(f"podman {words} ... failed ({done.returncode}): {said}")
    return done.stdout.decode(errors="replace").strip()


def _path() -> str:
    return f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


@cache
def configuration() -> Path:
    """A file for as long as this process lives; what the system's own says is left alone."""
    file = Path(tempfile.mkdtemp(prefix="p2p-machines-")) / "containers.conf"
    file.write_text(_CONFIGURATION)
    return file
