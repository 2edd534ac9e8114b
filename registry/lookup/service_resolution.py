"""Finds the service that a request asks for in the directory, or says in a refusal why there is none."""

from __future__ import annotations

import time

from registry.discovery.directory import Directory
from registry.discovery.service import Service
from registry.security.access import check_service, may_use
from registry.security.caller import Caller
from registry.web.refusal import Refusal


async def service_named(directory: Directory, name: str, caller: Caller) -> Service:
    """The followed service of that name, once the backend has answered for it.

    Raises AccessDenied where the caller may not use it, and Refusal: 404 and the names that exist, or 503 where the
    service cannot be followed for lack of room and while the backend has not answered at all.
    """
    check_service(caller, name)
    service = directory.find(name)
    if service is None:
        listed = await directory.wait_until_listed()
        service = directory.find(name)
        if service is None:
            raise _not_followed(directory, name, caller, listed=listed)
    if not service.snapshot.known and not await service.wait_until_known():
        raise not_answered_yet(service)
    return service


def _not_followed(directory: Directory, name: str, caller: Caller, *, listed: bool) -> Refusal:
    """The refusal for a service that is not followed: only what the backend does not list does not exist."""
    if directory.exists(name):
        most = directory.followed_at_most
        return Refusal(
            503,
            f"{most} services are followed, the most there may be: {name!r} has to wait until one is idle.",
            again=True,
        )
    if not listed:
        return Refusal(503, f"{directory.product} has not said yet whether there is a service {name!r}.", again=True)
    return Refusal(404, f"There is no service {name!r}{_existing_names(directory, caller)}.")


def not_answered_yet(service: Service) -> Refusal:
    """The refusal while the backend has not answered for the service, with the error of the last query."""
    trouble, product = service.watch.trouble, service.watch.product
    return Refusal(503, f"{product} has not answered yet{f': {trouble}' if trouble else '.'}", again=True)


def snapshot_headers(service: Service) -> dict[str, str]:
    """Headers about the snapshot that an answer rests on: that it is stale, in panic mode, of another datacenter."""
    elsewhere = {"X-Registry-Datacenter": service.datacenter} if service.datacenter else {}
    return stale_header(service) | panic_header(service) | elsewhere


def stale_header(service: Service) -> dict[str, str]:
    """`X-Registry-Stale: SECONDS` while the backend does not confirm the snapshot, else no header."""
    stale_s = service.watch.stale_s(time.monotonic())
    return {} if stale_s is None else {"X-Registry-Stale": str(int(stale_s))}


def panic_header(service: Service) -> dict[str, str]:
    """`X-Registry-Panic: HEALTHY/TOTAL` while all are handed out although fewer than half are healthy."""
    panic = service.panic
    return {} if panic is None else {"X-Registry-Panic": f"{panic.healthy}/{panic.total}"}


def _existing_names(directory: Directory, caller: Caller) -> str:
    names = [name for name in directory.names if may_use(caller, name)]
    if not names:
        return ", nor any other"
    more = f" and {len(names) - 20} more" if len(names) > 20 else ""
    return ": there are " + ", ".join(_printable(name) for name in names[:20]) + more


def _printable(name: str) -> str:
    """The name, quoted and escaped where it would not print as it is."""
    return name if name.isprintable() else repr(name)
