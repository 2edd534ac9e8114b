"""deploy/docker/compose.yaml as a newcomer uses it: one command, then the curl line works on the host."""

from __future__ import annotations

import json
import os
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.containers.conftest import DOCKER, Images
from tests.support.command_process import free_port
from tests.support.packaging.containers import BASE, ROOT, Podman, run

pytestmark = pytest.mark.timeout(900)

PHOTO = ROOT / "deploy" / "cat.jpg"


class Composed:
    """The running containers of the compose file, as a project of their own."""

    def __init__(self, podman: Podman, images: Images, folder: Path) -> None:
        self.podman = podman
        self.project = f"p2p-test-{os.getpid()}"
        self.port = free_port()
        override = folder / "subnet.yaml"  # a range that is for tests: no network of this machine has it
        subnet = f"198.18.{random.randrange(1, 250)}.0/24"
        override.write_text(json.dumps({"networks": {"default": {"ipam": {"config": [{"subnet": subnet}]}}}}))
        self._files = ("-f", str(DOCKER / "compose.yaml"), "-f", str(override))
        self._environ = podman.environ | {
            "P2P_CONSUL_IMAGE": images.consul,
            "P2P_LOOKUP_IMAGE": images.lookup,
            "P2P_WORKER_IMAGE": images.worker,
            "P2P_WORKER_ENGINE": "echo",
            "P2P_LOOKUP_PORT": str(self.port),
        }

    def __call__(self, *arguments: str) -> str:
        command = (sys.executable, "-m", "podman_compose", "-p", self.project, *self._files, *arguments)
        return run(*command, environ=self._environ, timeout_s=300)

    def name(self, service: str, number: int = 1) -> str:
        return f"{self.project}_{service}_{number}"

    def next(self, count: int) -> list[str]:
        """The addresses of the next workers, as curl prints them."""
        return run("curl", "-s", "-m", "5", f"localhost:{self.port}/next?count={count}").split()

    def until_workers(self, count: int, *, within_s: float = 60.0) -> list[str]:
        end_s = time.monotonic() + within_s
        while True:
            try:
                found = self.next(count + 1)
            except AssertionError:  # the lookup service does not listen yet
                found = []
            if len(found) == count and all(":" in address for address in found):
                return found
            assert time.monotonic() < end_s, (found, self.logs("lookup"))
            time.sleep(0.1)

    def logs(self, service: str, number: int = 1) -> str:
        return self.podman.logs(self.name(service, number))


@pytest.fixture(scope="module")
def composed(podman: Podman, images: Images, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Composed]:
    composed = Composed(podman, images, tmp_path_factory.mktemp("compose"))
    try:
        composed("up", "--detach", "--no-build", "--scale", "worker=3")
        composed.until_workers(3)
        yield composed
    finally:
        # podman-compose's `down` knows one worker, unless it is told of the others.
        podman("pod", "rm", "--force", "--time", "1", f"pod_{composed.project}")
        composed("down", "--volumes")


def test_the_lookup_image_is_small(podman: Podman, images: Images) -> None:
    """The image of lookup service and client adds less than 120 MB to its base."""
    assert podman.size_mb(images.lookup) - podman.size_mb(BASE) < 120


def test_the_curl_line_works_from_the_host(composed: Composed) -> None:
    """Three workers are handed out, and each answers an image that is posted straight to it from the host."""
    for address in composed.next(3):
        said = json.loads(run("curl", "-s", "-m", "10", "-F", f"data=@{PHOTO}", f"http://{address}"))
        assert [label for label, _ in said] == ["width", "height"]


@pytest.mark.parametrize("service", ["lookup", "worker"])
def test_a_container_has_no_rights(composed: Composed, service: str) -> None:
    """The process is not root, has no capability and can gain none; its root file system cannot be written."""
    name = composed.name(service)
    status = composed.podman("exec", name, "cat", "/proc/1/status").splitlines()
    fields = dict(line.split(":", 1) for line in status if ":" in line)
    assert set(fields["Uid"].split()) == {"10001"}
    assert (int(fields["CapEff"], 16), fields["NoNewPrivs"].strip()) == (0, "1")
    with pytest.raises(AssertionError, match="Read-only file system"):
        composed.podman("exec", name, "touch", "/written")


@pytest.mark.parametrize("service", ["lookup", "worker"])
def test_the_health_check_passes(composed: Composed, service: str) -> None:
    """The image's own health check finds the process healthy."""
    composed.podman("healthcheck", "run", composed.name(service))


def test_a_stopped_worker_leaves_in_order(composed: Composed) -> None:
    """SIGTERM reaches the process: it leaves the rotation, serves for its drain grace and ends with code 0."""
    name = composed.name("worker", 3)
    composed.podman("stop", "--time", "60", name)
    assert composed.podman("inspect", name, "--format", "{{.State.ExitCode}}").strip() == "0"
    assert len(composed.until_workers(2)) == 2
    composed.podman("start", name)
    composed.until_workers(3)


def test_a_worker_is_registered_soon(composed: Composed) -> None:
    """From the start of a worker's container to its registration it computes for less than the 3 s that it may take.

    Other processes do not change that; what a clock shows is printed, and is far below ten times as much.
    """
    name, took_s, computed_s = composed.name("worker", 3), [], []
    for _ in range(3):
        composed.podman("stop", "--time", "60", name)
        started_s = time.monotonic()
        composed.podman("start", name)
        composed.until_workers(3)
        took_s.append(time.monotonic() - started_s)
        ticks = composed.podman("exec", name, "cat", "/proc/1/stat").rpartition(")")[2].split()[11:15]
        computed_s.append(sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK"))
    print("Seconds to registered, by the clock:", *(f"{each:.2f}" for each in took_s))
    print("Seconds computed until then:", *(f"{each:.2f}" for each in computed_s))
    assert min(computed_s) < 3
    assert min(took_s) < 30


def test_a_killed_worker_is_not_handed_out(composed: Composed) -> None:
    """kill -9 leaves a registration in the catalogue: the lookup service finds out, and hands out the others only."""
    name = composed.name("worker", 2)
    composed.podman("kill", "--signal", "KILL", name)
    composed.until_workers(2)
    composed.podman("start", name)
    composed.until_workers(3)
