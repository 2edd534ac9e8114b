"""Machines with systemd as init, on a network of their own that this host reaches, too. All calls block."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.machines.base_image import base_image
from tests.support.machines.podman import PodmanError, podman

# Units confine their services by mount namespaces, which takes CAP_SYS_ADMIN in the machine.
_RIGHTS = ("--cap-add", "SYS_ADMIN", "--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined")


@dataclass(frozen=True)
class Machine:
    """One machine; `container` is podman's name for it."""

    name: str
    address: str
    container: str

    def run(self, *command: str, timeout_s: float = 300.0) -> str:
        """Run a command as root; what it wrote to standard output. Raises PodmanError, with all it wrote."""
        return podman("exec", self.container, *command, timeout_s=timeout_s)

    def put(self, source: Path, target: str) -> None:
        """Copy a file or a folder of this host to `target`, for root alone, as `scp -p` would."""
        podman("cp", source, f"{self.container}:{target}")
        self.run("chown", "-R", "root:root", target)

    def write(self, target: str, text: str) -> None:
        """Write a file, and the folders that it is in."""
        self.run("mkdir", "-p", str(Path(target).parent))
        podman("exec", "-i", self.container, "tee", target, stdin=text.encode())

    def active(self, unit: str) -> bool:
        """Whether a unit runs and is ready."""
        try:
            return self.run("systemctl", "is-active", unit) == "active"
        except PodmanError:
            return False

    def journal(self, unit: str, *, lines: int = 40) -> str:
        """The end of what a unit wrote."""
        return self.run("journalctl", "--no-pager", "--output", "cat", "--lines", str(lines), "--unit", unit)


@contextmanager
def running_machines(*names: str, folders: Mapping[str, Path]) -> Iterator[Mapping[str, Machine]]:
    """Boot machines with these names; each sees `folders` (path in the machine: folder here) without writing to them.

    The network has a subnet of 198.18.0.0/15, which is set aside for tests of networks. All is removed on exit.
    """
    image, mark = base_image(), f"p2p-{uuid.uuid4().hex[:8]}"
    network = f"198.{random.choice((18, 19))}.{random.randrange(256)}"
    podman("network", "create", "--subnet", f"{network}.0/24", mark)
    shared = [part for target, source in folders.items() for part in ("--volume", f"{source}:{target}:ro")]
    machines: dict[str, Machine] = {}
    try:
        for number, name in enumerate(names, start=10):
            machine = Machine(name, f"{network}.{number}", f"{mark}-{name}")
            place = ("--network", mark, "--ip", machine.address, "--hostname", name, "--name", machine.container)
            podman("run", "--detach", "--systemd=always", *_RIGHTS, *place, *shared, image, "/sbin/init")
            machines[name] = machine
        for machine in machines.values():
            _wait_until_booted(machine)
        yield machines
    finally:
        for machine in machines.values():
            podman("rm", "--force", "--time", "0", "--volumes", machine.container)
        podman("network", "rm", "--force", mark)


def _wait_until_booted(machine: Machine) -> None:
    script = 'until s=$(systemctl is-system-running); [ "$s" = running ] || [ "$s" = degraded ]; do sleep 0.1; done'
    machine.run("timeout", "60", "sh", "-c", script)
