"""Which worker hosts are reachable at the host that a client asked. Pure.

The article's one-line protocol answers with a port only, and the client combines it with the host that it asked. So
only workers that are reachable at that very host may be named.
"""

from __future__ import annotations

from registry.runtime.address import host_only

LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


def reachable_hosts(host_header: str, local_address: str) -> frozenset[str]:
    """The hosts a worker may be registered under to be reachable at the host that was asked.

    `host_header` is the request's Host; `local_address` is the IP address on which the request arrived, ""
    where it is not known. The client's name for this host resolved to that address, so a worker registered under the
    address is reachable by the name.
    """
    asked = host_only(host_header).lower().rstrip(".")
    hosts = {asked, local_address} - {""}
    if asked == "localhost":
        hosts |= LOCAL_NAMES
    elif hosts & {"127.0.0.1", "::1"}:
        hosts.add("localhost")
    return frozenset(hosts)
