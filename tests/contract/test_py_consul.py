"""The contract as py-consul sees it: the client library that the registry and the workers use."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from urllib.parse import urlsplit

import consul as py_consul
import pytest

from tests.contract.conftest import PATIENCE_S, Consul


@pytest.fixture
def client(consul: Consul) -> py_consul.Consul:
    parts = urlsplit(consul.url)
    return py_consul.Consul(host=parts.hostname, port=parts.port)


def eventually(found: Callable[[], object]) -> None:
    until_s = time.monotonic() + PATIENCE_S
    while not found():
        assert time.monotonic() < until_s
        time.sleep(0.01)


def test_register_watch_and_leave(client: py_consul.Consul, name: str) -> None:
    """A service registered by py-consul is followed by its blocking query from passing to critical to gone."""
    check = py_consul.Check.ttl("1h") | {"CheckID": f"{name}-c", "Status": "passing"}
    assert client.agent.service.register(name, service_id=name, port=81, tags=["a"], check=check, meta={"m": "1"})
    eventually(lambda: client.health.service(name)[1])
    index, (entry,) = client.health.service(name)
    assert (entry["Service"]["Port"], entry["Service"]["Meta"]) == (81, {"m": "1"})

    later = threading.Timer(0.1, client.agent.check.ttl_fail, [f"{name}-c"])
    later.start()
    changed, (entry,) = client.health.service(name, index=index, wait="10s")
    later.join()
    assert int(changed) > int(index)
    assert entry["Checks"][-1]["Status"] == "critical"
    assert client.health.service(name, passing=True)[1] == []
    assert client.agent.service.deregister(name)
    eventually(lambda: not client.health.service(name)[1])


def test_maintenance(client: py_consul.Consul, name: str) -> None:
    """Maintenance put on and taken off by py-consul shows in the health of the service."""
    client.agent.service.register(name)
    client.agent.service.maintenance(name, "true", reason="why not")
    eventually(lambda: [check["Notes"] for check in client.health.checks(name)[1]] == ["why not"])
    client.agent.service.maintenance(name, "false")
    eventually(lambda: not client.health.checks(name)[1])
    client.agent.service.deregister(name)


def test_an_unknown_check(client: py_consul.Consul) -> None:
    """A heartbeat for a check that the agent does not know must not look like a success."""
    with pytest.raises(py_consul.ConsulException, match="does not have associated TTL"):
        client.agent.check.ttl_pass("none")


def test_keys(client: py_consul.Consul, name: str) -> None:
    """py-consul writes, reads, lists, compares and removes keys, and waits for one."""
    assert client.kv.put(f"{name}/a", "1")
    index, entry = client.kv.get(f"{name}/a")
    assert entry["Value"] == b"1"
    assert not client.kv.put(f"{name}/a", "2", cas=0)
    assert client.kv.get(f"{name}/", keys=True)[1] == [f"{name}/a"]
    later = threading.Timer(0.1, client.kv.put, [f"{name}/a", "3"])
    later.start()
    _, entry = client.kv.get(f"{name}/a", index=index, wait="10s")
    later.join()
    assert entry["Value"] == b"3"
    assert client.kv.delete(name, recurse=True)
    assert client.kv.get(f"{name}/a")[1] is None


def test_who_is_there(client: py_consul.Consul) -> None:
    """Members, nodes, datacenters, leader and the agent itself are told in the shapes that py-consul expects."""
    (member,) = client.agent.members()
    node = client.agent.self()["Config"]["NodeName"]
    assert (member["Name"], member["Status"]) == (node, 1)
    assert [found["Node"] for found in client.catalog.nodes()[1]] == [node]
    assert client.catalog.datacenters() == ["dc1"]
    assert client.status.peers() == [client.status.leader()]
    assert "consul" in client.catalog.services()[1]
    assert "consul" in client.catalog.node(node)[1]["Services"]
