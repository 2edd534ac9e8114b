"""What a worker's registration says of versions that do not serve."""

from __future__ import annotations

import socket
from types import SimpleNamespace
from typing import Any

from registry.consul.settings import ConsulSettings
from worker.advertising.advertised import Advertised
from worker.artifacts.source import ModelSource
from worker.artifacts.version_plan import VersionStatus
from worker.server.model_endpoint import ModelEndpoint, instance_of
from worker.settings import WorkerSettings
from worker.web.endpoint_state import EndpointState

SETTINGS = WorkerSettings(ConsulSettings(), ModelSource())


def test_a_registration_names_the_version_that_loads_and_those_that_failed() -> None:
    """The lookup service reads both; errors are cut to what Consul takes, and only the newest three stand there."""
    failed = [VersionStatus(str(version), "END", f"{'ä' * 500}{version}") for version in (9, 8, 7, 6)]
    store: Any = SimpleNamespace(
        name="classify",
        loaded={"5": None},
        current=SimpleNamespace(model=SimpleNamespace(version="5")),
        statuses=lambda: [VersionStatus("10", "LOADING"), *failed, VersionStatus("5", "AVAILABLE")],
    )
    with socket.create_server(("127.0.0.1", 0)) as listener:
        endpoint = ModelEndpoint(0, store, listener, EndpointState(boot="b"))
        instance = instance_of(SETTINGS, endpoint, Advertised("127.0.0.1"))
        store.statuses = lambda: [VersionStatus("5", "AVAILABLE")]
        quiet = instance_of(SETTINGS, endpoint, Advertised("127.0.0.1"))
    assert (instance.loading, sorted(instance.failed_versions)) == ("10", ["7", "8", "9"])
    assert all(len(value.encode()) <= 512 for value in instance.meta.values())
    assert (quiet.loading, quiet.failed_versions) == ("", {})
