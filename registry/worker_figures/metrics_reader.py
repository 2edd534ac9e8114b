"""Asks a worker for its metrics: over TLS where it is registered so, with a token where it wants one."""

from __future__ import annotations

import asyncio
import time

import aiohttp

from registry.instances.instance import Instance
from registry.runtime.tls.trust import TrustFiles
from registry.worker_figures.metrics_text import ModelMetrics, read_metrics
from registry.worker_figures.reading import Reading

TIMEOUT_S = 3.0
AT_A_TIME = 32
PAGE_AT_MOST_BYTES = 4 << 20
KEEPALIVE_S = 12.0
"""For how long an idle connection is kept: a little longer than it takes until a worker is asked again."""

LARGE_CHARACTERS = 100_000
"""A page that is longer is read in a thread: a worker with many models must not hold the event loop."""


class MetricsReader:
    """Reads the metrics of instances, at most AT_A_TIME at once; `token` goes to those that want one."""

    def __init__(self, http: aiohttp.ClientSession, *, token: str | None) -> None:
        self._http = http
        self._token = token
        self._free = asyncio.Semaphore(AT_A_TIME)

    async def read(self, instance: Instance) -> Reading:
        """What the instance's metrics say now of the model that it is registered for."""
        wants_token = self._token is not None and instance.auth != "none"  # a stranger's registration gets none
        headers = {"Authorization": f"Bearer {self._token}"} if wants_token else {}
        url = f"{instance.origin}/metrics"
        try:
            async with self._free, self._http.get(url, headers=headers, allow_redirects=False) as answer:
                if answer.status != 200:
                    return _silent(instance, f"it answered {answer.status}")
                text = await _text(answer)
            metrics = await _read(text, model=instance.service)
        except (aiohttp.ClientError, TimeoutError) as error:
            return _silent(instance, str(error) or "no answer")
        except (ValueError, LookupError) as error:
            return _silent(instance, f"its metrics cannot be read: {error}")
        return Reading(instance, metrics, at_s=time.monotonic())


def metrics_session(trust: TrustFiles) -> aiohttp.ClientSession:
    """The connections over which metrics are asked for. Raises SettingsError where a file cannot be used."""
    connector = aiohttp.TCPConnector(ssl=trust.verification(), limit=AT_A_TIME, keepalive_timeout=KEEPALIVE_S)
    return aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=TIMEOUT_S))


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
