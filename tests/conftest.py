"""Fixtures and plugins for all tests: real Consul and ZooKeeper, and the check that nothing holds an event loop."""

from __future__ import annotations

import signal
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import hypothesis
import PIL.Image
import pytest

from registry.backend.registrations import Registrations
from registry.backend.source import Source
from registry.chosen_backend import BackendSettings, open_registrations, open_source
from registry.consul.settings import ConsulSettings
from tests.support.consul_binary.fetch import find_or_fetch
from tests.support.consul_process import ConsulProcess
from tests.support.servers.zookeeper_process import Ensemble, running_ensemble

pytest_plugins = ["tests.support.event_loops.callback_check", "tests.support.xdist_scheduling"]

# An example has no time limit, and drawing it neither: the machine may be busy with something else.
_unhurried = [hypothesis.HealthCheck.too_slow]
hypothesis.settings.register_profile("unhurried", deadline=None, suppress_health_check=_unhurried)
hypothesis.settings.load_profile("unhurried")

# Pillow imports its formats with the first picture, for which an event loop in which a test makes one has no time.
PIL.Image.init()

# Tests that are started in the background ignore Ctrl-C, and the processes that they start would inherit that.
for _number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, signal.default_int_handler if _number is signal.SIGINT else signal.SIG_DFL)


@pytest.fixture(scope="session")
def consul_binary() -> Path:
    """The real Consul's binary (CONSUL_BIN, the PATH, or fetched); where there is none, tests that need it fail."""
    return find_or_fetch()


@pytest.fixture
def consul(consul_binary: Path, tmp_path: Path) -> Iterator[ConsulProcess]:
    """A real Consul of the test's own, to be stopped, killed and wiped at will."""
    process = ConsulProcess(consul_binary, tmp_path / "consul")
    process.start()
    yield process
    process.stop()


@pytest.fixture(scope="session")
def zookeeper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ensemble]:
    """A real ZooKeeper server for all tests of a process, which must use nodes of their own.

    SASL authenticates the users worker, lookup and stranger there; nobody has to be authenticated.
    """
    users = {"worker": "worker-secret", "lookup": "lookup-secret", "stranger": "stranger-secret"}
    with running_ensemble(Ensemble(tmp_path_factory.mktemp("zookeeper"), users=users)) as ensemble:
        yield ensemble


@pytest.fixture(scope="module")
def shared_consul(consul_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsulProcess]:
    """A real Consul for all tests of a module, which must use service names of their own."""
    process = ConsulProcess(consul_binary, tmp_path_factory.mktemp("consul"))
    process.start()
    yield process
    process.stop()


@pytest.fixture(params=["consul", "zookeeper"])
def backend(request: pytest.FixtureRequest) -> BackendSettings:
    """Both backends in turn; each test has a ZooKeeper folder of its own."""
    if request.param == "consul":
        return ConsulSettings(url=request.getfixturevalue("shared_consul").url)
    settings: BackendSettings = request.getfixturevalue("zookeeper").settings(root=f"/{uuid.uuid4().hex}")
    return settings


@pytest.fixture
async def source(backend: BackendSettings) -> AsyncIterator[Source]:
    source = open_source(backend)
    yield source
    await source.close()


@pytest.fixture
async def registrations(backend: BackendSettings) -> AsyncIterator[Registrations]:
    registrations = open_registrations(backend)
    yield registrations
    await registrations.close()
