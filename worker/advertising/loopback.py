"""Decides whether a loopback address may be registered: only in a backend that no other machine takes part in. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Membership:
    """Who takes part in a discovery backend: `members` that it shows us, and the addresses of its servers."""

    members: int
    servers: Collection[str]


def is_loopback(host: str) -> bool:
    """Whether a host's name or address always means the machine that uses it."""
    try:
        address = ip_address(host)
    except ValueError:
        name = host.lower().rstrip(".")
        return name == "localhost" or name.endswith(".localhost")
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback


def is_loopback_url(url: str) -> bool:
    """Whether only this machine reaches what answers at the URL: a loopback address, or a socket in the file system."""
    if url.startswith("unix://"):
        return True
    servers = url.partition("://")[2].partition("/")[0].split(",")  # ZooKeeper's URLs name several
    return all(is_loopback(urlsplit(f"//{server}").hostname or "") for server in servers)


def others_take_part(url: str, membership: Membership, own: Collection[str]) -> str:
    """Why other machines read what is registered in the backend at `url`, in a clause; "" where nothing shows that.

    `own` are the addresses of this machine. A token of Consul without `node:read` is shown no members; servers are
    always shown.
    """
    if not is_loopback_url(url):
        return "is not on this machine's loopback"
    if membership.members > 1:
        return f"has {membership.members} members"
    if len(membership.servers) > 1:
        return f"has {len(membership.servers)} servers"
    elsewhere = next((s for s in membership.servers if not is_loopback(s) and s not in own), None)
    return f"has its server at {elsewhere}, which is no address of this machine" if elsewhere else ""


def refusal(host: str, backend: str, why: str) -> str:
    """The sentence for a loopback address that must not be registered; `why` is what `others_take_part` gave."""
    return (
        f"{host} is a loopback address, which on every machine means that machine itself, but {backend} {why}: "
        "clients elsewhere would be sent to themselves. Listen where they reach this worker with --host (0.0.0.0 for "
        "all addresses), name its address with --advertise, or give --allow-loopback where all clients are on this "
        "machine."
    )
