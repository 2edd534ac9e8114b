"""A worker in a container with a published port, and a lookup service and a client on another machine.

This host has Consul and the container, in a bridge network of its own. The other machine is a network namespace with a
cable to this host, so that it reaches the published port and no container.
"""

from __future__ import annotations

import json
import os
import random
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.containers.conftest import Images
from tests.support.cluster.network import Host, Namespaces
from tests.support.command_process import free_port
from tests.support.consul_process import ConsulProcess
from tests.support.packaging.containers import ROOT, Podman, run

pytestmark = pytest.mark.timeout(900)

PHOTO = ROOT / "deploy" / "cat.jpg"
LOOKUP_PORT, WORKER_PORT = 12480, 8080


@dataclass(frozen=True)
class Machines:
    """This host at `here` with Consul at `consul_url`, and another machine with a lookup service."""

    podman: Podman
    images: Images
    here: str
    other: str
    prefix: tuple[str, ...]
    consul_url: str
    network: str

    def on_other(self, *command: str | Path) -> str:
        """What a command printed on the other machine."""
        return run(*self.prefix, *command)

    def next(self) -> str:
        """The next worker's address, as curl prints it on the other machine; "" while there is none."""
        try:
            return self.on_other("curl", "-sf", "-m", "5", f"http://{self.other}:{LOOKUP_PORT}/next").strip()
        except AssertionError:
            return ""

    def post(self, address: str) -> list[list[object]]:
        """The answer to a photo that the other machine posts there."""
        said: list[list[object]] = json.loads(
            self.on_other("curl", "-s", "-m", "5", "-F", f"data=@{PHOTO}", f"http://{address}")
        )
        return said

    def check_output(self) -> str:
        """What Consul's own check of the worker says."""
        with urlopen(f"{self.consul_url}/v1/agent/checks", timeout=5) as answer:
            return " ".join(check["Output"] for name, check in json.load(answer).items() if name.endswith(":http"))

    def doctor(self, container: str, *flags: str) -> str:
        """What `p2p doctor` finds in the worker's container, on one line; that its image has no engine is an error."""
        lookup = f"http://{self.other}:{LOOKUP_PORT}"
        known = ("--registry", lookup, "--host", "0.0.0.0", "--port", str(WORKER_PORT))
        command = shlex.join(["p2p", "doctor", "--role", "worker", *known, *flags])
        return " ".join(self.podman("exec", container, "sh", "-c", f"{command}; true").split())

    @contextmanager
    def worker(self, port: int, *flags: str) -> Iterator[str]:
        """The name of a container with a worker, whose port is published at `port` of this host."""
        name = f"p2p-test-published-{os.getpid()}"
        environ = {"CONSUL_HTTP_ADDR": self.consul_url, "P2P_WORKER_ENGINE": "echo"}
        variables = [f"--env={name}={value}" for name, value in environ.items()]
        published = ("--publish", f"{port}:{WORKER_PORT}")
        self.podman(
            "run", "--detach", "--name", name, "--network", self.network, *published, *variables,
            self.images.worker, "worker", *flags,
        )  # fmt: skip
        try:
            yield name
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.podman.logs(name)}") from None
        finally:
            self.podman("rm", "--force", "--time", "20", name)


def until(condition: Callable[[], object], *, within_s: float = 60.0) -> None:
    end_s = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end_s, "not in time"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def machines(
    podman: Podman, images: Images, consul_binary: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Machines]:
    folder = tmp_path_factory.mktemp("published")
    namespaces, network = Namespaces(["other"]), f"p2p-test-published-{os.getpid()}"
    (host,) = namespaces.hosts
    here = host.address.rpartition(".")[0] + ".254"
    with ExitStack() as stack:
        stack.callback(namespaces.take_up)
        namespaces.lay()
        podman("network", "create", "--subnet", f"198.18.{random.randrange(1, 250)}.0/24", network)
        stack.callback(podman, "network", "rm", "--force", network)
        consul = ConsulProcess(consul_binary, folder, client_addr=f"127.0.0.1 {here}", bind_addr=here)
        consul.start()
        stack.callback(consul.stop)
        consul_url = f"http://{here}:{consul.url.rpartition(':')[2]}"
        stack.enter_context(lookup_service(host, consul_url, folder / "lookup.log"))
        yield Machines(podman, images, here, host.address, host.prefix, consul_url, network)


@contextmanager
def lookup_service(host: Host, consul_url: str, log: Path) -> Iterator[None]:
    """A lookup service on the other machine."""
    flags = ("--host", host.address, "--port", str(LOOKUP_PORT), "--consul", consul_url)
    command = [*host.prefix, sys.executable, "-m", "p2pclient", "registry", *flags]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


def test_the_address_that_is_advertised_is_the_published_one(machines: Machines) -> None:
    """With --advertise HOST:PORT the other machine gets the host's address, posts to it, and Consul's check passes."""
    port = free_port()
    address = f"{machines.here}:{port}"
    with machines.worker(port, "--advertise", address) as name:
        until(machines.next)
        assert machines.next() == address
        assert [label for label, _ in machines.post(address)] == ["width", "height"]
        until(lambda: "200 OK" in machines.check_output())
        found = machines.doctor(name, "--advertise", address)
        assert "The lookup service reaches 1 of the 1 registered addresses." in found
    until(lambda: not machines.next())


def test_without_it_the_doctor_names_the_cure(machines: Machines) -> None:
    """The container's own address is registered: Consul on this host finds the worker well, others do not reach it."""
    with machines.worker(free_port()) as name:
        until(machines.next)
        address = machines.next()
        assert address.startswith("198.18.")
        with pytest.raises(AssertionError, match="curl"):
            machines.post(address)
        until(lambda: "200 OK" in machines.check_output())
        found = machines.doctor(name)
        assert f"The lookup service cannot reach classify-{address.replace(':', '-')} at {address}" in found
        assert "Name an address at which other hosts reach this one with --advertise" in found
