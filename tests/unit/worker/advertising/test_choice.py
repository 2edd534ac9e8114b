"""Which address is advertised: by each flag, and by default on hosts of several kinds."""

from __future__ import annotations

from ipaddress import ip_interface

import pytest

from registry.runtime.errors import SettingsError
from worker.advertising.advertise_flag import parse_advertise
from worker.advertising.choice import Agent, InterfaceAddress, chosen_host, default_host

OWN = tuple(
    InterfaceAddress(name, ip_interface(address))
    for name, address in (
        ("lo", "127.0.0.1/8"),
        ("docker0", "172.17.0.1/16"),
        ("eth0", "fe80::5/64"),
        ("eth0", "10.0.0.5/24"),
        ("eth0", "fd00::5/64"),
        ("eth1", "8.8.4.4/24"),
        ("eth2", "2600::7/64"),
        ("lo", "::1/128"),
    )
)


@pytest.mark.parametrize(
    ("flag", "outward", "host"),
    [
        ("eth0", (), "10.0.0.5"),
        ("eth2", (), "2600::7"),
        ("10.9.9.9", (), "10.9.9.9"),
        ("gpu-7", (), "gpu-7"),
        ('{{ GetInterfaceIP "eth1" }}', (), "8.8.4.4"),
        ('{{ GetInterfaceIP "lo" }}', (), "127.0.0.1"),
        ("{{ GetPrivateIP }}", ("10.0.0.5", "2600::7"), "10.0.0.5"),
        ("{{ GetPrivateIP }}", ("8.8.4.4",), "172.17.0.1"),
        ("{{ GetPublicIP }}", ("10.0.0.5",), "8.8.4.4"),
        ("{{ GetPublicIP }}", ("10.0.0.5", "2600::7"), "2600::7"),
    ],
)
def test_the_flag_chooses_an_address_of_this_host(flag: str, outward: tuple[str, ...], host: str) -> None:
    """An interface gives its IPv4 address if it has one; of several the default route's is taken."""
    assert chosen_host(parse_advertise(flag), OWN, outward) == host


@pytest.mark.parametrize("flag", ['{{ GetInterfaceIP "eth9" }}', "{{ GetPublicIP }}"])
def test_a_host_without_such_an_address_is_told_which_it_has(flag: str) -> None:
    """The refusal names the interfaces and addresses that there are."""
    with pytest.raises(SettingsError, match=r"eth0 10\.0\.0\.5"):
        chosen_host(parse_advertise(flag), OWN[:4], ())


@pytest.mark.parametrize(
    ("agent", "host"),
    [
        (Agent("10.0.0.5", "127.0.0.1", here=True), "10.0.0.5"),
        (Agent("203.0.113.9", "10.0.0.5", here=True), "203.0.113.9"),
        (Agent("127.0.0.1", "127.0.0.1", here=True), "127.0.0.1"),
        (Agent("172.17.0.2", "172.17.0.1", here=True), "172.17.0.1"),
        (Agent("10.0.0.77", "10.0.0.5", here=False), "10.0.0.5"),
    ],
    ids=["several interfaces", "1:1 NAT", "one machine", "agent in a container", "agent elsewhere"],
)
def test_the_default_follows_the_agent(agent: Agent, host: str) -> None:
    """The agent of this host knows the address; towards any other one, the address of the route counts."""
    assert default_host("0.0.0.0", agent, OWN) == host


def test_ipv6_needs_a_server_that_listens_on_it() -> None:
    """--host :: takes an agent's IPv6 address; --host 0.0.0.0 does not, and says so."""
    agent = Agent("fd00::5", "::1", here=True)
    assert default_host("::", agent, OWN) == "fd00::5"
    with pytest.raises(SettingsError, match="give --host ::"):
        default_host("0.0.0.0", agent, OWN)
