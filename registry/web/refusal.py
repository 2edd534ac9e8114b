"""Refusals of requests: a status, one sentence, and whether the client should try again."""

from __future__ import annotations

import math

from aiohttp import web

from registry.runtime.visible_text import visible
from registry.security.access import AccessDenied
from registry.security.quota import OverQuota

RETRY_AFTER_S = 1


class Refusal(Exception):
    """A request that gets no worker: `status`, one sentence, and whether to try `again`."""

    def __init__(self, status: int, sentence: str, *, again: bool = False) -> None:
        super().__init__(sentence)
        self.status = status
        self.again = again


def refused(refusal: Refusal | AccessDenied | OverQuota) -> web.Response:
    """The refusal as a response in plain text."""
    headers = {}
    if isinstance(refusal, OverQuota):
        headers["Retry-After"] = str(max(RETRY_AFTER_S, math.ceil(refusal.retry_after_s)))
    elif isinstance(refusal, AccessDenied):
        headers |= {"WWW-Authenticate": refusal.challenge} if refusal.challenge else {}
    elif refusal.again:
        headers["Retry-After"] = str(RETRY_AFTER_S)
    return web.Response(status=refusal.status, text=f"{visible(str(refusal))}\n", headers=headers)
