"""The addresses of this host, as the system tells them."""

from __future__ import annotations

import socket

import pytest

from worker.advertising.host_addresses import address_towards, host_addresses, outward_addresses


def test_the_loopback_interface_is_among_them() -> None:
    """Every machine has it, with its network."""
    loopback = [entry for entry in host_addresses() if entry.text == "127.0.0.1"]
    assert [entry.address.network.prefixlen for entry in loopback] == [8]
    assert loopback[0].interface in {name for _, name in socket.if_nameindex()}


def test_the_way_to_loopback_is_loopback() -> None:
    """A name is resolved; one that nobody has is an error."""
    assert address_towards("127.0.0.1") == "127.0.0.1"
    assert address_towards("localhost") in ("127.0.0.1", "::1")
    with pytest.raises(socket.gaierror):
        address_towards("nobody.invalid")


def test_outward_addresses_are_addresses_of_this_host() -> None:
    """As many as there are default routes: none on a machine without a network."""
    assert set(outward_addresses()) <= {entry.text for entry in host_addresses()}
