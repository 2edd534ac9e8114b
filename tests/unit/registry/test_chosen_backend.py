"""Which backend flags and variables name, and what only Consul offers."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import registry.zookeeper.registrar  # noqa: F401  importing it takes longer than an event loop may be held
from registry.chosen_backend import (
    BackendSettings,
    backend_settings,
    check_place,
    consul_only,
    open_registrar,
    server_addresses,
)
from registry.consul.settings import ConsulSettings
from registry.instances.instance import RegisterAt
from registry.runtime.errors import SettingsError
from registry.server import running
from registry.settings import RegistrySettings
from registry.zookeeper.settings import ZooKeeperSettings
from worker.advertising.advertised import find_advertised
from worker.advertising.refuse_loopback import refuse_loopback

ZOOKEEPER = backend_settings({}, consul=None, discovery="zookeeper://127.0.0.1:1,127.0.0.1:2")


def test_consul_is_the_backend_unless_another_is_named() -> None:
    """Without --discovery the settings are those of Consul's variables."""
    environ = {"CONSUL_HTTP_ADDR": "consul:8500"}
    assert backend_settings(environ, consul=None, discovery=None) == ConsulSettings(url="http://consul:8500")
    assert backend_settings(environ, consul="other:1", discovery="") == ConsulSettings(url="http://other:1")
    assert isinstance(backend_settings(environ, consul=None, discovery="zookeeper://zk"), ZooKeeperSettings)


def test_two_backends_are_one_too_many() -> None:
    """--consul and --discovery together are refused, since one of them would be ignored."""
    with pytest.raises(SettingsError, match="not both"):
        backend_settings({}, consul="http://127.0.0.1:8500", discovery="zookeeper://zk")


def test_zookeeper_without_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence says what to install."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SettingsError, match=r"pip install 'p2p-serving\[zookeeper\]'"):
        backend_settings({}, consul=None, discovery="zookeeper://zk")


def test_what_needs_consul() -> None:
    """The sentence names the flag and the backend."""
    with pytest.raises(SettingsError, match="--require-ticket needs Consul, and --discovery names ZooKeeper"):
        consul_only(ZOOKEEPER, "--require-ticket")
    with pytest.raises(SettingsError, match="--register catalog needs Consul"):
        check_place(ZOOKEEPER, RegisterAt.CATALOG)
    with pytest.raises(SettingsError, match="--register catalog needs Consul"):
        open_registrar(ZOOKEEPER, RegisterAt.CATALOG)
    check_place(ConsulSettings(), RegisterAt.CATALOG)


@pytest.mark.parametrize("flags", [{"ticket_keys": Path("keys")}, {"failover_datacenters": ("dc2",)}])
async def test_a_lookup_service_does_not_start_with_what_needs_consul(flags: dict[str, object]) -> None:
    """Tickets and other datacenters are Consul's."""
    with pytest.raises(SettingsError, match="needs Consul"):
        async with running(RegistrySettings(ZOOKEEPER, port=0, **flags)):  # type: ignore[arg-type]  # either flag
            pass


@pytest.mark.parametrize(
    ("settings", "addresses"),
    [
        (ConsulSettings(url="http://[::1]:8500"), [("::1", 8500)]),
        (ConsulSettings(url="unix:///run/consul.sock"), []),
        (ZOOKEEPER, [("127.0.0.1", 1), ("127.0.0.1", 2)]),
    ],
)
def test_the_servers_to_connect_to(settings: BackendSettings, addresses: list[tuple[str, int]]) -> None:
    """Hosts without brackets, and ports."""
    assert server_addresses(settings) == addresses


async def test_where_a_worker_is_advertised() -> None:
    """On all addresses: the one from which this host sends to ZooKeeper; 127.0.0.1 where that is on its loopback."""
    found = await find_advertised(None, host="0.0.0.0", port=0, backend=ZOOKEEPER)
    assert found.host == "127.0.0.1"
    await refuse_loopback("127.0.0.1", ZOOKEEPER)  # nobody else uses these servers


async def test_a_loopback_address_for_servers_elsewhere() -> None:
    """It is refused where a server of the ensemble is on another machine."""
    elsewhere = backend_settings({}, consul=None, discovery="zookeeper://127.0.0.1:2181,10.0.0.5:2181")
    with pytest.raises(Exception, match=r"but ZooKeeper at zookeeper://127.0.0.1:2181,10.0.0.5:2181 is not on this"):
        await asyncio.wait_for(refuse_loopback("127.0.0.1", elsewhere), 30)
