"""Finding and fetching Consul: what is believed, what is refused, in which order."""

from __future__ import annotations

import hashlib
import io
import platform
import stat
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.support.consul_binary.errors import ConsulNotFound, FetchFailed
from tests.support.consul_binary.fetch import VERSION, Places, fetch_release, find_or_fetch, places, runs

ZIP = f"consul_{VERSION}_linux_amd64.zip"
SCRIPT = b"#!/bin/sh\necho Consul v0.0.0\n"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def releases(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder of releases, and the address under which it is served."""
    folder = tmp_path / "releases"
    (folder / VERSION).mkdir(parents=True)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield folder / VERSION, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def on_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")


def release(folder: Path, *, digest: str | None = None, member: str = "consul") -> None:
    """Put a release into the folder, with its checksum or a wrong one."""
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as zipped:
        zipped.writestr(member, SCRIPT)
    (folder / ZIP).write_bytes(body.getvalue())
    digest = digest or hashlib.sha256(body.getvalue()).hexdigest()
    (folder / f"consul_{VERSION}_SHA256SUMS").write_text(f"{'0' * 64}  another.zip\n{digest}  {ZIP}\n")


def executable(path: Path, text: bytes = SCRIPT) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text)
    path.chmod(0o755)
    return path


def test_a_release_is_unpacked(releases: tuple[Path, str], tmp_path: Path, on_linux: None) -> None:
    """A release whose checksum is right becomes a binary that runs."""
    release(releases[0])
    binary = fetch_release(tmp_path, base=releases[1])
    assert binary.read_bytes() == SCRIPT
    assert binary.stat().st_mode & stat.S_IXUSR
    assert runs(binary)


def test_a_wrong_checksum_is_refused(releases: tuple[Path, str], tmp_path: Path, on_linux: None) -> None:
    """A release that is not what its checksum says is not even unpacked."""
    release(releases[0], digest="f" * 64)
    with pytest.raises(FetchFailed, match="does not match its checksum"):
        fetch_release(tmp_path, base=releases[1])
    assert not (tmp_path / "consul").exists()


def test_an_archive_without_consul_is_refused(releases: tuple[Path, str], tmp_path: Path, on_linux: None) -> None:
    """A zip without the binary in it is refused by its name."""
    release(releases[0], member="something-else")
    with pytest.raises(FetchFailed, match=ZIP):
        fetch_release(tmp_path, base=releases[1])


def test_a_release_that_is_not_there(releases: tuple[Path, str], tmp_path: Path, on_linux: None) -> None:
    """A server without the release is named with what it said."""
    with pytest.raises(FetchFailed, match="404"):
        fetch_release(tmp_path, base=releases[1])


def test_a_system_without_release(releases: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine for which there is no release is told so by its name."""
    release(releases[0])
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    with pytest.raises(FetchFailed, match="riscv64"):
        fetch_release(tmp_path, base=releases[1])


def test_the_named_binary_comes_first(tmp_path: Path) -> None:
    """CONSUL_BIN is taken as it is, and never replaced by another when it does not run."""
    good = executable(tmp_path / "mine")
    assert find_or_fetch(Places(str(good), tmp_path)) == good
    bad = executable(tmp_path / "bad", b"#!/bin/sh\nexit 1\n")
    for named in (bad, tmp_path / "none"):
        with pytest.raises(ConsulNotFound, match=str(named)):
            find_or_fetch(Places(str(named), tmp_path))


def test_what_was_fetched_is_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a consul on the PATH the cached one is used; one on the PATH goes before it."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    where = Places(cache=tmp_path)
    cached = executable(where.fetched, b"#!/bin/sh\necho Consul v0.0.0\n")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/bin:/usr/bin")
    assert find_or_fetch(where) == cached
    installed = executable(tmp_path / "bin" / "consul")
    assert find_or_fetch(where) == installed


def test_places_in_the_environment() -> None:
    """XDG_CACHE_HOME moves the cache, CONSUL_BIN names the binary, and without them the home folder is used."""
    assert places({"XDG_CACHE_HOME": "/c", "CONSUL_BIN": "/b"}) == Places("/b", Path("/c"))
    assert places({}).cache == Path.home() / ".cache"


def test_the_command(tmp_path: Path) -> None:
    """`python -m tests.support.consul_binary.fetch` prints the path, or one sentence and exit code 1."""

    def run(consul_bin: Path) -> subprocess.CompletedProcess[str]:
        environ = {
            "CONSUL_BIN": str(consul_bin),
            "PATH": "/usr/bin:/bin",
            "PYTHONPATH": str(Path(__file__).parents[4]),
        }
        command = [sys.executable, "-m", "tests.support.consul_binary.fetch"]
        return subprocess.run(command, env=environ, capture_output=True, text=True, check=False)

    binary = executable(tmp_path / "consul")
    assert (run(binary).returncode, run(binary).stdout) == (0, f"{binary}\n")
    missing = run(tmp_path / "none")
    assert (missing.returncode, missing.stdout) == (1, "")
    assert missing.stderr.count("\n") == 1
    assert "CONSUL_BIN" in missing.stderr
