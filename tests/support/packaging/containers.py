"""Builds and runs the containers of deploy/ with podman, on machines that reach Debian's mirror but no image registry.

All blocks, for minutes where an image is built. The base image is Debian's own Python, made by debootstrap; it is kept
for the next run.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[3]
BASE = "localhost/p2p-test-base:bookworm"

_AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
_TOOLS = ("podman", "runc", "catatonit", "debootstrap", "iptables")
_BUILD_S = 600.0

# crun, podman's usual choice, refuses machines on which both versions of control groups are mounted.
_CONTAINERS_CONF = """\
[containers]
default_ulimits = ["nofile=20000:20000", "nproc=30000:30000"]
[engine]
runtime = "runc"
"""


class Podman:
    """podman with settings of its own: `folder` holds them."""

    def __init__(self, folder: Path) -> None:
        settings = folder / "containers.conf"
        settings.write_text(_CONTAINERS_CONF, encoding="utf-8")
        self.environ = {**os.environ, "CONTAINERS_CONF": str(settings)}

    def __call__(self, *arguments: str | Path, timeout_s: float = 60.0, input_text: str | None = None) -> str:
        """`podman ARGUMENTS`; what it printed. Fails with its complaint."""
        return run("podman", *arguments, environ=self.environ, timeout_s=timeout_s, input_text=input_text)

    def has_image(self, name: str) -> bool:
        return subprocess.run(["podman", "image", "exists", name], env=self.environ, check=False).returncode == 0

    def build(self, dockerfile: Path, tag: str, **arguments: str) -> None:
        """Build a Dockerfile of the repository on our base image. Docker's format keeps the health check."""
        given = [f"--build-arg={name}={value}" for name, value in {"BASE": BASE, **arguments}.items()]
        formed = ("--network=host", "--format=docker", *given)
        self("build", *formed, "-f", dockerfile, "-t", tag, ROOT, timeout_s=_BUILD_S)

    def logs(self, container: str) -> str:
        """What a container has written so far, to standard error for our commands."""
        command = ["podman", "logs", container]
        done = subprocess.run(
            command, env=self.environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True
        )
        return done.stdout

    def size_mb(self, image: str) -> float:
        return int(self("image", "inspect", image, "--format", "{{.Size}}")) / 1e6

    def make_base(self) -> None:
        """Debian with Python, unless an earlier run made it."""
        if self.has_image(BASE):
            return
        with tempfile.TemporaryDirectory(prefix="p2p-base-", dir="/var/tmp") as folder:
            tree = Path(folder) / "tree"
            packages = "--include=python3,python3-venv,ca-certificates"
            run("debootstrap", "--variant=minbase", packages, "bookworm", tree, timeout_s=_BUILD_S)
            shutil.rmtree(tree / "var/cache/apt/archives")
            shutil.rmtree(tree / "var/lib/apt/lists")
            # Where this machine trusts an authority of its own, pip in a build must trust it, too.
            shutil.copy(_AUTHORITIES, tree / _AUTHORITIES.relative_to("/"))
            archive = Path(folder) / "tree.tar"
            run("tar", "-C", tree, "-cf", archive, ".", timeout_s=_BUILD_S)
            self("import", "--change", f"ENV=PIP_CERT={_AUTHORITIES}", archive, BASE, timeout_s=_BUILD_S)

    def make_consul(self, binary: Path, tag: str) -> None:
        """An image that is a Consul, as HashiCorp's is."""
        with tempfile.TemporaryDirectory(prefix="p2p-consul-") as folder:
            shutil.copy(binary, Path(folder) / "consul")
            dockerfile = f'FROM {BASE}\nCOPY consul /usr/local/bin/consul\nENTRYPOINT ["consul"]\n'
            (Path(folder) / "Dockerfile").write_text(dockerfile, encoding="utf-8")
            self("build", "-t", tag, folder, timeout_s=_BUILD_S)


def why_unavailable() -> str:
    """Why containers cannot be run here; "" where they can."""
    missing = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if missing:
        return f"not installed: {', '.join(missing)}"
    return "" if os.geteuid() == 0 else "debootstrap and container networks need root"


def run(
    *command: str | Path,
    environ: Mapping[str, str] | None = None,
    timeout_s: float = 60.0,
    input_text: str | None = None,
) -> str:
    """What a command printed; AssertionError with its complaint where it fails."""
    done = subprocess.run(
        [str(part) for part in command],
        env=environ,
        input=input_text or "",
        capture_output=True,
        text=True,
        errors="replace",
        timeout=timeout_s,
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(map(str, command))}: {done.stdout[-2000:]}{done.stderr[-4000:]}"
    return done.stdout
