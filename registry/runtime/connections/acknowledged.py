"""How much of what was sent on a TCP connection the other end has acknowledged.

The kernel takes up to megabytes for a client that does not read, and takes nothing more for minutes where a client
reads slowly: the bytes that wait in this process show neither.
"""

from __future__ import annotations

import socket
import struct

_OFFSET = 120
"""Where tcpi_bytes_acked stands in Linux's struct tcp_info (tcp(7), since Linux 4.1)."""


def acknowledged_bytes(sock: socket.socket | None) -> int | None:
    """The bytes that the other end has acknowledged; None on a system or a socket that does not tell."""
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _OFFSET + 8)  # type: ignore[union-attr]  # caught
        return int(struct.unpack_from("=Q", info, _OFFSET)[0])
    except (OSError, AttributeError, struct.error):
        return None
