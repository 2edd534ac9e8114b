"""The images of deploy/docker, built once for all tests; without P2P_TEST_CONTAINERS=1 the tests are skipped."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.packaging.containers import ROOT, Podman, why_unavailable

DOCKER = ROOT / "deploy" / "docker"


@dataclass(frozen=True)
class Images:
    """The names of the images. The worker's has the engine `echo` only, which needs no framework."""

    lookup: str = "localhost/p2p-test-lookup"
    worker: str = "localhost/p2p-test-worker"
    consul: str = "localhost/p2p-test-consul"


@pytest.fixture(scope="session")
def podman(tmp_path_factory: pytest.TempPathFactory) -> Podman:
    if os.environ.get("P2P_TEST_CONTAINERS") != "1":
        pytest.skip("containers are built and run by `make test-containers`")
    reason = why_unavailable()
    assert not reason, reason
    return Podman(tmp_path_factory.mktemp("podman"))


@pytest.fixture(scope="session")
def images(podman: Podman, consul_binary: Path) -> Images:
    podman.make_base()
    images = Images()
    podman.build(DOCKER / "lookup.Dockerfile", images.lookup)
    podman.build(DOCKER / "worker.Dockerfile", images.worker, EXTRAS="images")
    podman.make_consul(consul_binary, images.consul)
    return images
