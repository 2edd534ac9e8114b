"""An ensemble of three real servers for the tests of faults."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.servers.zookeeper_process import Ensemble, running_ensemble


@pytest.fixture
def three(ensemble: Ensemble) -> Ensemble:
    """Three servers that all serve, whatever the test before has done; each test uses nodes of its own."""
    ensemble.thaw()
    ensemble.start()
    return ensemble


@pytest.fixture(scope="module")
def ensemble(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ensemble]:
    """Three servers for all tests of a module."""
    with running_ensemble(Ensemble(tmp_path_factory.mktemp("ensemble"), count=3)) as ensemble:
        yield ensemble
