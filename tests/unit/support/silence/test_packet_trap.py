"""What leaves a silent network is described by protocol, address, port and the name that is asked for."""

from __future__ import annotations

import pytest

from tests.support.silence.packet_trap import described

MACS = bytes(12)
V4 = b"\x45" + bytes(8)
V6 = b"\x60" + bytes(5)


def ipv4(protocol: int, payload: bytes) -> bytes:
    return MACS + b"\x08\x00" + V4 + bytes((protocol, 0, 0)) + bytes(4) + bytes((192, 0, 2, 53)) + payload


def ipv6(protocol: int, payload: bytes) -> bytes:
    target = b"\x20\x01\x0d\xb8" + bytes(11) + b"\x09"
    return MACS + b"\x86\xdd" + V6 + bytes((protocol, 64)) + bytes(16) + target + payload


def udp(port: int, payload: bytes) -> bytes:
    return bytes(2) + port.to_bytes(2, "big") + bytes(4) + payload


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (ipv4(17, udp(53, bytes(12) + b"\x03one\x07example\x00")), "UDP to 192.0.2.53, port 53, asks for one.example"),
        (ipv4(6, bytes(2) + b"\x01\xbb" + bytes(16)), "TCP to 192.0.2.53, port 443"),
        (ipv4(1, bytes(8)), "IP protocol 1 to 192.0.2.53"),
        (ipv6(17, udp(443, b"")), "UDP to 2001:db8::9, port 443"),
        (MACS + b"\x08\x06" + bytes(28), "a frame of type 0806"),
        (ipv6(58, bytes(8)), ""),
        (ipv6(0, bytes(8)), ""),
    ],
)
def test_frames_are_described(frame: bytes, words: str) -> None:
    """Of IPv6 the kernel's own neighbour discovery is nothing to report."""
    assert described(frame) == words
