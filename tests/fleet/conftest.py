"""A fleet from bare machines, made by the files of deploy/ and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.machines.fleet import Fleet, running_fleet
from tests.support.machines.podman import missing


@pytest.fixture(scope="module")
def fleet(consul_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    if reason := missing():
        pytest.skip(reason)
    with running_fleet(consul_binary, tmp_path_factory.mktemp("fleet")) as fleet:
        yield fleet
