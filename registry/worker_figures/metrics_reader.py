"""Asks a worker for its metrics: over TLS where it is registered so, with a token where it wants one."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable

import aiohttp

from registry.instances.instance import Instance
from registry.worker_figures.metrics_text import ModelMetrics, read_metrics
from registry.worker_figures.reading import Reading

TIMEOUT_S = 3.0
AT_A_TIME = 32
PAGE_AT_MOST_BYTES = 4 << 20
KEEPALIVE_S = 15.0
"""For how long an idle connection is kept: a little longer than it takes until a worker is asked again."""

LARGE_CHARACTERS = 100_000
"""A page that is longer is read in a thread: a worker with many models must not hold the event loop."""


class MetricsReader:
    """Reads the metrics of instances, at most AT_A_TIME at once; `token` goes to those that want one.

    `verification` says at each request how a worker's certificate is verified: True is the usual way.
    """

    def __init__(
        self, http: aiohttp.ClientSession, *, token: str | None, verification: Callable[[], ssl.SSLContext | bool]
    ) -> None:
        self._http = http
        self._verification = verification
        self._token = token
        self._free = asyncio.Semaphore(AT_A_TIME)

    async def read(self, instance: Instance) -> Reading:
        """What the instance's metrics say now of the model that it is registered for."""
        wants_token = self._token is not None and instance.auth != "none"  # a stranger's registration gets none
        headers = {"Authorization": f"Bearer {self._token}"} if wants_token else {}
        url, how = f"{instance.origin}/metrics", self._verification()
        try:
            async with self._free, self._http.get(url, headers=headers, ssl=how, allow_redirects=False) as answer:
                if answer.status != 200:
                    return _silent(instance, f"it answered {answer.status}")
                text = await _text(answer)
            metrics = await _read(text, model=instance.service)
        except (aiohttp.ClientError, TimeoutError) as error:
            return _silent(instance, str(error) or "no answer")
        except (ValueError, LookupError) as error:
            return _silent(instance, f"its metrics cannot be read: {error}")
        return Reading(instance, metrics, at_s=time.monotonic())


def metrics_session() -> aiohttp.ClientSession:
    """The connections over which metrics are asked for."""
    connector = aiohttp.TCPConnector(limit=AT_A_TIME, keepalive_timeout=KEEPALIVE_S)
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    return aiohttp.ClientSession(connector=connector, timeout=timeout, cookie_jar=aiohttp.DummyCookieJar())


def _silent(instance: Instance, fault: str) -> Reading:
    return Reading(instance, None, fault, time.monotonic())


async def _read(text: str, *, model: str) -> ModelMetrics:
    if len(text) <= LARGE_CHARACTERS:
        return read_metrics(text, model=model)
    return await asyncio.to_thread(read_metrics, text, model=model)


async def _text(answer: aiohttp.ClientResponse) -> str:
    """The page, as far as PAGE_AT_MOST_BYTES."""
    body = bytearray()
    while len(body) < PAGE_AT_MOST_BYTES and (piece := await answer.content.read(PAGE_AT_MOST_BYTES - len(body))):
        body += piece
    return body.decode(errors="replace")
