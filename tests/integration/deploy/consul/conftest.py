"""A Consul that runs from the files of deploy/consul, for all tests of a module."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.servers.deployed_consul import DeployedConsul


@pytest.fixture(scope="module")
def deployed(consul_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DeployedConsul]:
    consul = DeployedConsul(consul_binary, tmp_path_factory.mktemp("consul"))
    consul.make_files()
    try:
        consul.start_server()
        consul.bootstrap("tokens")
        consul.start("c1")
        yield consul
    finally:
        consul.stop_all()
