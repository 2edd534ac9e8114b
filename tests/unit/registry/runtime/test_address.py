"""Hosts and ports as URLs write them."""

from __future__ import annotations

import pytest

from registry.runtime.address import bracketed, host_port


@pytest.mark.parametrize(
    ("host", "port", "written"),
    [
        ("10.0.0.5", 80, "10.0.0.5:80"),
        ("cat.example", 9001, "cat.example:9001"),
        ("::1", 9001, "[::1]:9001"),
        ("fe80::1%eth0", 1, "[fe80::1%eth0]:1"),
    ],
)
def test_an_ipv6_host_stands_in_brackets(host: str, port: int, written: str) -> None:
    """Brackets keep the colons of an IPv6 address apart from the one before the port (RFC 3986, 3.2.2)."""
    assert host_port(host, port) == written
    assert bracketed(host) == written.rpartition(":")[0]
