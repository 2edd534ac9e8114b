"""A fleet from bare machines, made by the files of deploy/ and nothing else.

The tests of a module depend on each other: each uses what those before it made, so that none runs after a failure.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.machines.fleet import Fleet, running_fleet
from tests.support.machines.podman import missing
from tests.support.machines.wheels import Wheels, make_wheels

FAILED = pytest.StashKey[str]()
"""Of a module: the test that failed."""


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Wheels:
    """What is installed on all machines."""
    if reason := missing():
        pytest.skip(reason)
    return make_wheels(tmp_path_factory.mktemp("wheels"))


@pytest.fixture(scope="module")
def fleet(consul_binary: Path, wheels: Wheels, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with running_fleet(consul_binary, wheels, tmp_path_factory.mktemp("fleet")) as fleet:
        yield fleet


def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[Any]) -> None:
    """Remember which test of a module failed."""
    module = item.getparent(pytest.Module)
    if module is not None and call.excinfo is not None and not call.excinfo.errisinstance(pytest.skip.Exception):
        module.stash.setdefault(FAILED, item.name)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what comes after a failure."""
    module = item.getparent(pytest.Module)
    if module is not None and FAILED in module.stash:
        pytest.skip(f"{module.stash[FAILED]} failed before it")
