"""The image that machines boot from: Debian by debootstrap, with systemd, Python and tools, and nothing of ours.

It is made once (about a minute and 320 MB) and kept in podman's storage.
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from tests.support.consul_binary.sources import debian_mirror, read_deb822, read_list
from tests.support.machines.podman import PodmanError, podman

SUITE = "bookworm"
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
IMAGE = f"localhost/p2p-serving-machine:{SUITE}-2"
"""The number grows with every change of what is in it."""

_PUBLIC_MIRROR = "http://deb.debian.org/debian"
_DEBOOTSTRAP_S = 900.0


def base_image() -> str:
    """The image's name; it is made where there is none yet. Raises PodmanError."""
    try:
        podman("image", "exists", IMAGE)
    except PodmanError:
        _make()
    return IMAGE


def _make() -> None:
    with tempfile.TemporaryDirectory(prefix="p2p-machine-") as folder:
        root, archive = Path(folder) / "root", Path(folder) / "root.tar"
        command = ["/usr/sbin/debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}"]
        done = subprocess.run(
            [*command, SUITE, root, _mirror()], capture_output=True, text=True, timeout=_DEBOOTSTRAP_S
        )
        if done.returncode:
            raise PodmanError(f"debootstrap: {done.stdout[-500:]}{done.stderr[-500:]}")
        subprocess.run(["tar", "-C", root, "-cf", archive, "."], check=True)
        podman("import", archive, IMAGE, timeout_s=600)


def _mirror() -> str:
    """The Debian mirror of this machine's own apt, else the public one."""
    apt = Path("/etc/apt")
    sources = [s for path in (apt / "sources.list", *apt.glob("sources.list.d/*.list")) for s in read_list(_text(path))]
    sources += [s for path in apt.glob("sources.list.d/*.sources") for s in read_deb822(_text(path))]
    return debian_mirror(sources) or _PUBLIC_MIRROR


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
