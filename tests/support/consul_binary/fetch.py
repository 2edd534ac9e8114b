"""A real Consul for tests and for machines without one: found, or fetched into the user's cache, never installed.

In this order: the binary that CONSUL_BIN names; `consul` on the PATH; what was fetched before; Debian's package
(1.8.7, from the mirror that this machine's apt uses, its signatures checked by apt with Debian's
keyring; no root needed); HashiCorp's release of the same version for other systems. Of that last one the
checksum is checked, but the file of checksums is trusted because it came over TLS: its signature is not checked.

A fetched binary is run once before it is believed, and appears in the cache under its name in one step, so that
neither a broken download nor a second process fetching at the same time can leave half a file there.
`python -m tests.support.consul_binary.fetch` prints the binary's path.
"""

from __future__ import annotations

import hashlib
import io
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from tests.support.consul_binary.errors import ConsulNotFound, FetchFailed
from tests.support.packaging.debian_package import unpacked_package

VERSION = "1.8.7"
"""The version fetched: that of Debian 11, so that every machine tests against the same one."""

RELEASES = "https://releases.hashicorp.com/consul"

_SUITE = "bullseye"
_DOWNLOAD_S = 60.0
_MACHINES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64", "i686": "386"}


@dataclass(frozen=True, slots=True)
class Places:
    """Where to look and where to keep: a binary named by the user, and the root of the user's cache."""

    consul_bin: str = ""
    cache: Path = field(default_factory=lambda: Path.home() / ".cache")

    @property
    def fetched(self) -> Path:
        """Where a fetched binary is kept, one for each kind of machine that shares this home."""
        machine = f"{platform.system()}-{platform.machine()}".lower()
        return self.cache / "p2p-serving" / "consul" / f"{VERSION}-{machine}" / "consul"


def places(environ: Mapping[str, str]) -> Places:
    """The places that the environment names: CONSUL_BIN, XDG_CACHE_HOME."""
    cache = environ.get("XDG_CACHE_HOME")
    consul_bin = environ.get("CONSUL_BIN", "")
    return Places(consul_bin, Path(cache)) if cache else Places(consul_bin)


def find_or_fetch(where: Places | None = None) -> Path:
    """The path of a Consul that runs; the environment says where to look unless `where` does.

    Blocks for as long as that takes. Raises ConsulNotFound, which says why there is none.
    """
    where = where or places(os.environ)
    if where.consul_bin:
        named = shutil.which(where.consul_bin)
        if not named or not runs(Path(named)):
            raise ConsulNotFound(f"CONSUL_BIN names {where.consul_bin}, which is no Consul that runs: correct it.")
        return Path(named)
    on_path = shutil.which("consul")
    for found in (Path(on_path) if on_path else None, where.fetched):
        if found and runs(found):
            return found
    return _fetch(where.fetched)


def runs(binary: Path) -> bool:
    """Whether a file is a Consul that runs here."""
    try:
        said = subprocess.run(
            [binary, "version"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, check=False
        )
    except (OSError, UnicodeDecodeError, subprocess.TimeoutExpired):
        return False
    return said.returncode == 0 and said.stdout.startswith("Consul v")


def _fetch(target: Path) -> Path:
    tried = []
    for fetch in (fetch_from_debian, fetch_release):
        try:
            return _fetch_into(target, fetch)
        except FetchFailed as error:
            tried.append(str(error))
        except OSError as error:
            tried.append(f"{error.filename}: {error.strerror}")
    raise ConsulNotFound(
        f"No Consul on the PATH and none could be fetched ({'; '.join(dict.fromkeys(tried))}): "
        "install Consul 1.8 or newer, or name its binary with CONSUL_BIN."
    )


def _fetch_into(target: Path, fetch: Callable[[Path], Path]) -> Path:
    """Fetch in a folder next to the target, try the binary there, and move it into place in one step."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="fetching-", dir=target.parent) as folder:
        binary = fetch(Path(folder))
        if not runs(binary):
            raise FetchFailed("the Consul that was fetched does not run here")
        return binary.replace(target)


def fetch_from_debian(folder: Path) -> Path:
    """Debian's package of Consul, unpacked in `folder`; the path of its binary. Raises FetchFailed."""
    return unpacked_package(folder, "consul", suite=_SUITE) / "usr" / "bin" / "consul"


def fetch_release(folder: Path, *, base: str = RELEASES) -> Path:
    """HashiCorp's release for this system, checked against SHA256SUMS and unpacked in `folder`; its binary's path.

    Raises FetchFailed.
    """
    system, machine = platform.system().lower(), _MACHINES.get(platform.machine().lower())
    if system == "darwin":
        machine = "amd64"  # there was none for arm64 yet; macOS runs this one
    name = f"consul_{VERSION}_{system}_{machine}.zip"
    sums = _download(f"{base}/{VERSION}/consul_{VERSION}_SHA256SUMS").decode(errors="replace")
    expected = {file: digest for digest, file in (line.split() for line in sums.splitlines() if line.count("  "))}
    if name not in expected:
        raise FetchFailed(f"HashiCorp has no release of Consul {VERSION} for {system} on {platform.machine()}")
    archive = _download(f"{base}/{VERSION}/{name}")
    if hashlib.sha256(archive).hexdigest() != expected[name]:
        raise FetchFailed(f"{name} does not match its checksum")
    binary = folder / "consul"
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as zipped:
            binary.write_bytes(zipped.read("consul"))
    except (zipfile.BadZipFile, KeyError) as error:
        raise FetchFailed(f"{name} holds no binary of Consul") from error
    binary.chmod(0o755)
    return binary


def _download(url: str) -> bytes:
    try:
        with urlopen(url, timeout=_DOWNLOAD_S) as response:
            body: bytes = response.read()
    except (URLError, OSError) as error:
        raise FetchFailed(f"{url}: {error}") from error
    return body


def main() -> int:
    """Print the path of a Consul that runs; where there is none, say why and return 1."""
    try:
        print(find_or_fetch())
    except ConsulNotFound as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
