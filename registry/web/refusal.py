"""Refusals of requests: a status, one sentence, and whether the client should try again."""

from __future__ import annotations

from aiohttp import web

from registry.runtime.visible_text import visible

RETRY_AFTER_S = 1


class Refusal(Exception):
    """A request that gets no worker: `status`, one sentence, and whether to try `again`."""

    def __init__(self, status: int, sentence: str, *, again: bool = False) -> None:
        super().__init__(sentence)
        self.status = status
        self.again = again


def refused(refusal: Refusal) -> web.Response:
    """The refusal as a response in plain text."""
    headers = {"Retry-After": str(RETRY_AFTER_S)} if refusal.again else None
    return web.Response(status=refusal.status, text=f"{visible(str(refusal))}\n", headers=headers)
