"""The image that machines boot from: Debian or Ubuntu by debootstrap, with systemd, Python and tools, nothing of ours.

It is made once (about a minute and 320 MB) and kept in podman's storage.
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from tests.support.consul_binary.errors import FetchFailed
from tests.support.machines.distributions import Distribution, chosen, debootstrap_arguments
from tests.support.machines.podman import PodmanError, podman

PACKAGES = (
    "systemd",
    "systemd-sysv",
    "dbus",
    "python3",
    "python3-venv",
    "ca-certificates",
    "curl",
    "iproute2",
    "procps",
    "libfaketime",
)
IMAGE = "localhost/p2p-serving-machine:{suite}-2"
"""The number grows with every change of what is in it."""

_DEBOOTSTRAP_S = 900.0


def base_image() -> str:
    """The image's name; it is made where there is none yet. Raises PodmanError."""
    distribution = chosen()
    image = IMAGE.format(suite=distribution.suite)
    try:
        podman("image", "exists", image)
    except PodmanError:
        _make(distribution, image)
    return image


def _make(distribution: Distribution, image: str) -> None:
    with tempfile.TemporaryDirectory(prefix="p2p-machine-") as folder:
        root, archive = Path(folder) / "root", Path(folder) / "root.tar"
        try:
            arguments = debootstrap_arguments(distribution, root, ",".join(PACKAGES), Path(folder))
        except FetchFailed as error:
            raise PodmanError(str(error)) from error
        command = ["/usr/sbin/debootstrap", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=_DEBOOTSTRAP_S)
        if done.returncode:
            raise PodmanError(f"debootstrap: {done.stdout[-500:]}{done.stderr[-500:]}")
        subprocess.run(["tar", "-C", root, "-cf", archive, "."], check=True)
        podman("import", archive, image, timeout_s=600)
