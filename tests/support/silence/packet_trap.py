"""A network whose only way out ends here: prints a line for each packet that leaves for the rest of the world.

To be run in user, network and mount namespaces of its own (`unshare -rnm`). All addresses are routed to one end of a
virtual cable, the name server, too, and this program listens at the other end. It prints "ready" first.
"""

from __future__ import annotations

import ipaddress
import socket
import subprocess
import tempfile
from pathlib import Path

_SETUP = """
link set lo up
link add out type veth peer name trap
link set trap up
link set out up
addr add 192.0.2.2/32 dev out
route add 192.0.2.1 dev out
neigh add 192.0.2.1 lladdr 02:00:00:00:00:01 dev out nud permanent
route add default via 192.0.2.1
-6 addr add 2001:db8::2/128 dev out nodad
-6 neigh add fe80::1 lladdr 02:00:00:00:00:01 dev out nud permanent
-6 route add default via fe80::1 dev out
"""
"""Arguments of `ip`, a line each; addresses of RFC 5737 and RFC 3849, which are for documents."""

_NAMESERVER = "192.0.2.53"
_ALL_KINDS = 3  # ETH_P_ALL
_IPV4, _IPV6 = b"\x08\x00", b"\x86\xdd"
_HOP_BY_HOP, _ICMPV6 = 0, 58
_TRANSPORTS = {6: "TCP", 17: "UDP"}


def main() -> None:
    """Set the network up and print what is sent, until this process is killed."""
    with tempfile.NamedTemporaryFile("w") as resolver:
        resolver.write(f"nameserver {_NAMESERVER}\n")
        resolver.flush()
        real = str(Path("/etc/resolv.conf").resolve())
        subprocess.run(["mount", "--bind", resolver.name, real], check=True)
        for line in filter(None, _SETUP.splitlines()):
            subprocess.run(["ip", *line.split()], check=True)
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ALL_KINDS)) as trap:
            trap.bind(("trap", 0))
            print("ready", flush=True)
            while frame := trap.recv(65535):
                if line := described(frame):
                    print(line, flush=True)


def described(frame: bytes) -> str:
    """An Ethernet frame in words; "" for those by which the kernel itself gets to know its IPv6 neighbours."""
    kind, packet = frame[12:14], frame[14:]
    if kind == _IPV6:
        if packet[6] in (_HOP_BY_HOP, _ICMPV6):
            return ""
        return _datagram(packet[6], packet[24:40], packet[40:])
    if kind == _IPV4:
        return _datagram(packet[9], packet[16:20], packet[4 * (packet[0] & 15) :])
    return f"a frame of type {kind.hex()}"


def _datagram(protocol: int, address: bytes, payload: bytes) -> str:
    target = ipaddress.ip_address(address)
    if protocol not in _TRANSPORTS:
        return f"IP protocol {protocol} to {target}"
    port = int.from_bytes(payload[2:4], "big")
    asked = f", asks for {_name(payload[20:])}" if port == 53 and _TRANSPORTS[protocol] == "UDP" else ""
    return f"{_TRANSPORTS[protocol]} to {target}, port {port}{asked}"


def _name(question: bytes) -> str:
    """The name that a DNS question begins with."""
    labels = []
    while question and question[0]:
        labels.append(question[1 : 1 + question[0]].decode("ascii", "replace"))
        question = question[1 + question[0] :]
    return ".".join(labels)


if __name__ == "__main__":
    main()
