"""The advertised address on hosts of several kinds: network namespaces, and a real Consul in one of them."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.cluster.network import Namespaces, namespaces_allowed

ROOT = Path(__file__).parents[4]
PROGRAM = ROOT / "tests" / "support" / "workers" / "advertised_address.py"
LOCAL = "http://127.0.0.1:8500"

pytestmark = pytest.mark.skipif(not namespaces_allowed(), reason="this process may not make network namespaces")


@pytest.fixture(scope="module")
def network() -> Iterator[Namespaces]:
    """Two hosts, each with a cable for Consul's traffic and one for requests, and IPv6 on the latter."""
    network = Namespaces(("one", "two"))
    try:
        network.lay()
        for number, host in enumerate(network.hosts, start=1):
            ip = ["ip", "-n", host.prefix[-1]]
            subprocess.run([*ip, "address", "add", f"fd00::{number}/64", "dev", "data", "nodad"], check=True)
            subprocess.run([*ip, "route", "add", "default", "dev", "data"], check=True)
        yield network
    finally:
        network.take_up()


@contextmanager
def consul(network: Namespaces, binary: Path, folder: Path, **changes: object) -> Iterator[None]:
    """A Consul on host `one`, which answers on loopback and on the cable for its own traffic."""
    one = network.hosts[0]
    settings = {
        "server": True,
        "bootstrap_expect": 1,
        "data_dir": str(folder / "data"),
        "bind_addr": one.control,
        "client_addr": f"127.0.0.1 {one.control}",
        "ports": {"dns": -1, "grpc": -1, "serf_wan": -1},
        "disable_update_check": True,
    } | changes
    (folder / "consul.json").write_text(json.dumps(settings))
    command = [*one.prefix, str(binary), "agent", "-config-file", str(folder / "consul.json")]
    with (folder / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            deadline_s = time.monotonic() + 30
            while "Consul" in advertised(network, 0, "", "::"):
                assert time.monotonic() < deadline_s, (folder / "log").read_text()
            yield
        finally:
            process.kill()


def advertised(network: Namespaces, number: int, flag: str, host: str, *, port: int = 7001, consul: str = LOCAL) -> str:
    """What is advertised on that host: the host and the ports of two models; or the sentence of the refusal."""
    command = [*network.hosts[number].prefix, sys.executable, str(PROGRAM), flag, host, str(port), consul]
    done = subprocess.run(command, cwd=ROOT, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_flags_on_a_host_with_several_interfaces(network: Namespaces) -> None:
    """Interfaces by their names, and by the default route; none of this asks Consul."""
    one = network.hosts[0]
    assert advertised(network, 0, "control", "0.0.0.0") == f"{one.control} 7001 7002"
    assert advertised(network, 0, '{{ GetInterfaceIP "data" }}', "0.0.0.0") == f"{one.address} 7001 7002"
    assert advertised(network, 0, "{{ GetPrivateIP }}", "0.0.0.0") == f"{one.address} 7001 7002"
    assert "has no public address" in advertised(network, 0, "{{ GetPublicIP }}", "0.0.0.0")


def test_a_published_port(network: Namespaces) -> None:
    """host:port is for the first model and the others count up; the port that is listened on must be fixed."""
    assert advertised(network, 0, "203.0.113.5:20001", "0.0.0.0") == "203.0.113.5 20001 20002"
    assert advertised(network, 0, "[fd00::7]:20001", "::") == "fd00::7 20001 20002"
    assert "--port" in advertised(network, 0, "203.0.113.5:20001", "0.0.0.0", port=0)


def test_the_default_beside_an_agent_and_away_from_it(network: Namespaces, consul_binary: Path, tmp_path: Path) -> None:
    """On the agent's host its address; on another host the one of the route to the agent."""
    one, two = network.hosts
    with consul(network, consul_binary, tmp_path):
        assert advertised(network, 0, "", "0.0.0.0").split()[0] == one.control
        at_its_address = f"http://{one.control}:8500"
        assert advertised(network, 0, "", "0.0.0.0", consul=at_its_address).split()[0] == one.control
        assert advertised(network, 1, "", "0.0.0.0", consul=at_its_address).split()[0] == two.control
        assert advertised(network, 1, "", "::", consul=at_its_address).split()[0] == two.control


def test_the_default_behind_nat(network: Namespaces, consul_binary: Path, tmp_path: Path) -> None:
    """An agent that advertises the public address of a host behind 1:1 NAT gives it to the workers, too."""
    with consul(network, consul_binary, tmp_path, advertise_addr="203.0.113.9"):
        assert advertised(network, 0, "", "0.0.0.0").split()[0] == "203.0.113.9"


def test_the_default_with_ipv6(network: Namespaces, consul_binary: Path, tmp_path: Path) -> None:
    """An agent at an IPv6 address: a server on all addresses is advertised there, one of IPv4 alone is refused."""
    with consul(network, consul_binary, tmp_path, bind_addr="fd00::1", client_addr="127.0.0.1 fd00::1"):
        assert advertised(network, 0, "", "::").split()[0] == "fd00::1"
        assert "give --host ::" in advertised(network, 0, "", "0.0.0.0")
        assert advertised(network, 1, "", "::", consul="http://[fd00::1]:8500").split()[0] == "fd00::2"
