"""The service that a request asks for, found in the directory, and how far its set is to be trusted."""

from __future__ import annotations

import time

from registry.discovery.directory import Directory, Service
from registry.web.refusal import Refusal

FIRST_ANSWER_WAIT_S = 2.0


async def service_named(directory: Directory, name: str) -> Service:
    """The followed service of that name, its first answer awaited.

    Raises Refusal: 404 and the names that exist, or 503 while Consul has not answered at all.
    """
    service = directory.find(name)
    if service is None:
        raise Refusal(404, f"There is no service {name!r}{_those_that_exist(directory)}.")
    if not service.belief.known and not await service.known(timeout_s=FIRST_ANSWER_WAIT_S):
        raise unanswered(service)
    return service


def unanswered(service: Service) -> Refusal:
    """What is said while Consul has not answered, with what it or the way to it said instead."""
    trouble = service.follower.trouble
    return Refusal(503, f"Consul has not answered yet{f': {trouble}' if trouble else '.'}", again=True)


def stale_header(service: Service) -> dict[str, str]:
    """`X-Registry-Stale: SECONDS` while Consul does not confirm what is answered."""
    stale_s = service.follower.stale_s(time.monotonic())
    return {} if stale_s is None else {"X-Registry-Stale": str(int(stale_s))}


def _those_that_exist(directory: Directory) -> str:
    names = directory.names
    if not names:
        return ", nor any other"
    more = f" and {len(names) - 20} more" if len(names) > 20 else ""
    return ": there are " + ", ".join(names[:20]) + more
