"""What domain names ask for."""

from __future__ import annotations

from ipaddress import ip_address

import dns.name
import pytest

from registry.dns.zone import OtherName, ServiceName, parse_name

MEANINGS = {
    "classify.service.consul.": ServiceName("classify"),
    "classify.service.dc1.consul.": ServiceName("classify"),
    "Classify.SERVICE.DC1.Consul.": ServiceName("Classify"),
    "classify.service.dc2.consul.": OtherName.NONEXISTENT,
    "classify.service.x.dc1.consul.": OtherName.NONEXISTENT,
    "v1.classify.service.consul.": ServiceName("classify", "v1"),
    "v1.2.classify.service.consul.": ServiceName("classify", "v1.2"),
    "_classify._tcp.service.consul.": ServiceName("classify"),
    "_classify._TCP.service.dc1.consul.": ServiceName("classify"),
    "_classify._v1.service.consul.": ServiceName("classify", "v1"),
    "x._classify._tcp.service.consul.": ServiceName("_tcp", "x._classify"),
    "_classify.service.consul.": ServiceName("_classify"),
    "classify.consul.": OtherName.NONEXISTENT,
    "classify.node.consul.": OtherName.NONEXISTENT,
    r"\255.service.consul.": OtherName.NONEXISTENT,
    "consul.": OtherName.APEX,
    "dc1.consul.": OtherName.EMPTY_NON_TERMINAL,
    "service.consul.": OtherName.EMPTY_NON_TERMINAL,
    "_tcp.service.consul.": OtherName.EMPTY_NON_TERMINAL,
    "service.dc1.consul.": OtherName.EMPTY_NON_TERMINAL,
    "addr.consul.": OtherName.EMPTY_NON_TERMINAL,
    "7f000001.addr.dc1.consul.": ip_address("127.0.0.1"),
    "7F000001.ADDR.consul.": ip_address("127.0.0.1"),
    "7f000001.addr.dc2.consul.": ip_address("127.0.0.1"),
    "00000000000000000000000000000001.addr.dc1.consul.": ip_address("::1"),
    "7f00001.addr.dc1.consul.": OtherName.NONEXISTENT,
    "zz000001.addr.dc1.consul.": OtherName.NONEXISTENT,
    r"7f000001\032\032.addr.dc1.consul.": OtherName.NONEXISTENT,
    "a.7f000001.addr.dc1.consul.": OtherName.NONEXISTENT,
    ".": OtherName.OUT_OF_ZONE,
    "com.": OtherName.OUT_OF_ZONE,
    "classify.service.consul.example.": OtherName.OUT_OF_ZONE,
}


@pytest.mark.parametrize("name", MEANINGS)
def test_what_names_mean(name: str) -> None:
    """Each form of name, as Consul reads it."""
    assert parse_name(dns.name.from_text(name), datacenter="dc1") == MEANINGS[name]
