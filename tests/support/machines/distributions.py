"""Which distribution machines boot: Debian, or Ubuntu where P2P_TEST_MACHINES=ubuntu says so. Calls may block."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.support.consul_binary.errors import FetchFailed
from tests.support.packaging.debian_package import own_mirror, unpacked_package

_UBUNTU_KEY = "F6ECB3762474EDA9D21B7022871920D1991BC93C"
"""The fingerprint of "Ubuntu Archive Automatic Signing Key (2018)"."""


@dataclass(frozen=True, slots=True)
class Distribution:
    """A suite, and what debootstrap and pip have to know of it."""

    suite: str
    python: str
    """The version of its Python, for which wheels are downloaded."""

    components: str = "main"
    like: str = ""
    """The suite whose script debootstrap uses, where it may not know this one."""


DEBIAN = Distribution("bookworm", "3.11")
UBUNTU = Distribution("noble", "3.12", components="main,universe", like="jammy")


def chosen(environ: Mapping[str, str] = os.environ) -> Distribution:
    """What the environment asks for."""
    return UBUNTU if environ.get("P2P_TEST_MACHINES") == "ubuntu" else DEBIAN


def debootstrap_arguments(distribution: Distribution, root: Path, packages: str, work: Path) -> list[str]:
    """The arguments that make a system with these packages in `root`, from this machine's mirror. Raises FetchFailed.

    Ubuntu's archive is looked for beside Debian's, and its signature is checked with the key of `_UBUNTU_KEY`, which is
    kept in `work`.
    """
    options = ["--variant=minbase", f"--include={packages}", f"--components={distribution.components}"]
    if distribution is DEBIAN:
        return [*options, distribution.suite, str(root), own_mirror()]
    mirror = f"{own_mirror().rstrip('/').removesuffix('/debian')}/ubuntu"
    script = f"/usr/share/debootstrap/scripts/{distribution.like}"
    keyring = _ubuntu_keyring(work, f"deb [trusted=yes] {mirror} {distribution.suite} main")
    return [*options, f"--keyring={keyring}", distribution.suite, str(root), mirror, script]


def _ubuntu_keyring(work: Path, source: str) -> Path:
    """A keyring that holds the one key that is known here, from a package that nobody has checked."""
    brought = unpacked_package(work, "ubuntu-keyring", suite="", source=source)
    brought /= "usr/share/keyrings/ubuntu-archive-keyring.gpg"
    keyring = work / "ubuntu.gpg"
    gpg = ("gpg", "--homedir", str(work), "--no-default-keyring", "--keyring", str(brought))
    command = [*gpg, "--output", str(keyring), "--export", _UBUNTU_KEY]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode or not keyring.exists():
        raise FetchFailed(f"{brought.name} of {source} lacks the key {_UBUNTU_KEY}: {done.stderr.strip()}")
    return keyring
