"""Hosts and ports as URLs write them (RFC 3986, 3.2.2): an IPv6 address stands in brackets. Pure."""

from __future__ import annotations


def bracketed(host: str) -> str:
    """The host as it stands in a URL: `[::1]` for `::1`, anything else unchanged."""
    return f"[{host}]" if ":" in host else host


def server_url(host: str, port: int, *, tls: bool) -> str:
    """The URL of a server, which speaks TLS or not: `https://10.0.0.5:9001`."""
    return f"{'https' if tls else 'http'}://{host_port(host, port)}"


def host_port(host: str, port: int) -> str:
    """`host:port` as a URL wants it, such as `10.0.0.5:9001` or `[::1]:9001`."""
    return f"{bracketed(host)}:{port}"


def host_only(host_header: str) -> str:
    """The host of `host`, `host:port` or `[ipv6]:port`, as a Host header has them."""
    if host_header.startswith("["):
        return host_header[1:].partition("]")[0]
    return host_header.partition(":")[0]
