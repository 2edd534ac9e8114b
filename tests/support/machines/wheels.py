"""The wheels of this source and of all that they need, for hosts that reach no package index."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.support.machines.distributions import chosen

ROOT = Path(__file__).parents[3]


@dataclass(frozen=True, slots=True)
class Wheels:
    """Two folders, each with the wheels of one version of this source and with what these need on the machines."""

    this: Path
    following: Path
    following_version: str

    @property
    def this_version(self) -> str:
        """The version of the wheels in `this`."""
        (wheel,) = self.this.glob("p2p_serving-*.whl")
        return wheel.name.split("-")[1]


def make_wheels(folder: Path) -> Wheels:
    """Make both in `folder`; about 40 MB are downloaded."""
    this, following = folder / "this", folder / "following"
    this.mkdir()
    following.mkdir()
    for source in (ROOT / "p2pclient", ROOT):
        _run("build", "--no-isolation", "--wheel", "--outdir", str(this), str(source))
    pip = ("pip", "--disable-pip-version-check", "download", "--quiet", "--dest", str(this))
    python = ("--only-binary=:all:", f"--python-version={chosen().python}")
    _run(*pip, *python, "--find-links", str(this), "-c", str(ROOT / "constraints.txt"), "p2p-serving[images]")
    return Wheels(this, following, _make_following(following, beside=this))


def _make_following(folder: Path, *, beside: Path) -> str:
    """Make the wheels of this source as the next version, beside those of `beside` that are not ours; its version."""
    for wheel in beside.glob("*.whl"):
        if not wheel.name.startswith("p2p_serving"):
            (folder / wheel.name).hardlink_to(wheel)
    with tempfile.TemporaryDirectory() as work:
        source = Path(work) / "source"
        for name in ("p2pclient", "registry", "worker", "deploy"):
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", "dist", "build"))
        for name in ("pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md"):
            shutil.copy(ROOT / name, source)
        project = source / "p2pclient" / "pyproject.toml"
        version = re.search(r'(?m)^version = "(\d+\.\d+)\.(\d+)"', project.read_text())
        assert version is not None
        following = f"{version[1]}.{int(version[2]) + 1}"
        project.write_text(project.read_text().replace(version[0], f'version = "{following}"'))
        for path in (source / "p2pclient", source):
            _run("build", "--no-isolation", "--wheel", "--outdir", str(folder), str(path))
    return following


def _run(*arguments: str) -> None:
    done = subprocess.run([sys.executable, "-m", *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
