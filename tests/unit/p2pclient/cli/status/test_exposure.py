"""What `p2p status` says is open to every machine that reaches it."""

from __future__ import annotations

import json

import pytest

from p2pclient.cli.status.exposure import exposed_lookups, exposure_warning
from p2pclient.cli.status.model import ServiceStatus, WorkerStatus
from p2pclient.cli.status.table import as_json, as_table
from p2pclient.discovery.address import addresses
from p2pclient.types import Worker


@pytest.mark.parametrize(
    ("registry", "token", "exposed"),
    [
        ("10.0.0.5", None, ("http://10.0.0.5:12480",)),
        ("lookup,127.0.0.1,localhost,http://[::1]:1", None, ("http://lookup:12480",)),
        ("https://lookup", None, ()),
        ("lookup", "a-token", ()),
        ("http://name:word@lookup", None, ()),
        ("consul://10.0.0.5", None, ()),
    ],
)
def test_lookup_services_that_are_asked_without_anything(registry: str, token: str | None, exposed: tuple[str]) -> None:
    """Plain HTTP to another machine, without a token or a password; Consul has rules of its own."""
    assert exposed_lookups(addresses(registry), token=token) == exposed


def test_workers_are_named_in_the_table_and_in_the_json() -> None:
    """Those with neither TLS nor tokens nor tickets, beyond their own machine."""
    workers = (
        Worker("cats", "a", "10.0.0.5", 1),
        Worker("cats", "b", "10.0.0.5", 2, scheme="https"),
        Worker("cats", "c", "10.0.0.5", 3, auth="ticket"),
        Worker("cats", "d", "127.0.0.1", 4),
    )
    statuses = [ServiceStatus("cats", 0.0, tuple(WorkerStatus(worker) for worker in workers))]
    assert json.loads(as_json(statuses, lookups=("http://l:1",)))["exposed"] == ["http://l:1", "http://10.0.0.5:1"]
    *_, one, two = as_table(statuses, width=80).splitlines()
    assert f"{one} {two.strip()}".endswith("may use them: http://10.0.0.5:1")
    assert "warning" not in as_table([ServiceStatus("cats", 0.0, (WorkerStatus(workers[3]),))], width=80)


def test_a_fleet_does_not_fill_the_screen() -> None:
    """Some are named, the others counted."""
    assert exposure_warning([f"http://w{i}" for i in range(9)]).endswith("http://w3, http://w4 and 4 more")
