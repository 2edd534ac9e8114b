"""Unpacks a package of Debian's into a folder, from the mirror that this machine's apt uses; nothing is installed.

apt checks the signatures with Debian's keyring; no root is needed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from tests.support.consul_binary.errors import FetchFailed
from tests.support.consul_binary.sources import debian_mirror, read_deb822, read_list

_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_APT = Path("/etc/apt")
_COMMAND_S = 300.0


def unpacked_package(folder: Path, name: str, *, suite: str, source: str = "") -> Path:
    """The folder, within `folder`, that holds the files of the package `name` of a suite. Raises FetchFailed.

    `source` is the line of apt's sources for another archive than Debian's.
    """
    apt_get = _apt_get(folder, f"{source or f'deb [signed-by={_KEYRING}] {own_mirror()} {suite} main'}\n")
    _run([*apt_get, "update"], folder, what="Debian's list of packages")
    _run([*apt_get, "download", name], folder, what=f"Debian's package of {name.capitalize()}")
    packages = list(folder.glob(f"{name}_*.deb"))
    if len(packages) != 1:
        raise FetchFailed(f"apt brought no package of {name.capitalize()}")
    _run(["dpkg-deb", "-x", str(packages[0]), str(folder / "unpacked")], folder, what="unpacking Debian's package")
    return folder / "unpacked"


def own_mirror() -> str:
    """The Debian mirror of this machine. Raises FetchFailed where there is none, or no apt to use it with."""
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb") and _KEYRING.is_file()):
        raise FetchFailed("this is no Debian machine with Debian's keyring")
    lists = [_APT / "sources.list", *sorted(_APT.glob("sources.list.d/*.list"))]
    sources = [source for path in lists if path.is_file() for source in read_list(_text(path))]
    for path in sorted(_APT.glob("sources.list.d/*.sources")):
        sources += read_deb822(_text(path))
    mirror = debian_mirror(sources)
    if mirror is None:
        raise FetchFailed("apt's sources name no Debian archive")
    return mirror


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


def _apt_get(folder: Path, source: str) -> list[str]:
    """The apt-get command that uses `source` alone and keeps its state in `folder`, not in the system's."""
    for name in ("state/lists/partial", "cache/archives/partial"):
        (folder / name).mkdir(parents=True)
    (folder / "status").touch()
    (folder / "sources.list").write_text(source, encoding="utf-8")
    options = {
        "Dir::State": folder / "state",
        "Dir::State::Lists": folder / "state" / "lists",
        "Dir::State::status": folder / "status",
        "Dir::Cache": folder / "cache",
        "Dir::Etc::sourcelist": folder / "sources.list",
        "Dir::Etc::sourceparts": "-",
        "Dir::Etc::preferences": "-",
        "Dir::Etc::preferencesparts": "-",
        "Acquire::Languages": "none",
        "Acquire::Retries": "3",
    }
    if os.geteuid() == 0:
        # Otherwise apt would download as a user of its own, who has no way into this folder.
        options["APT::Sandbox::User"] = "root"
    return ["apt-get", "-q", *(part for name, value in options.items() for part in ("-o", f"{name}={value}"))]


def _run(command: list[str], folder: Path, *, what: str) -> None:
    try:
        subprocess.run(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_COMMAND_S,
            check=True,
        )
    except subprocess.TimeoutExpired:
        raise FetchFailed(f"{what} took longer than {_COMMAND_S:g} s") from None
    except subprocess.CalledProcessError as error:
        complaint = next((line for line in error.stderr.splitlines() if line.startswith("E:")), error.stderr)
        raise FetchFailed(f"{what}: {complaint.strip()}") from error
