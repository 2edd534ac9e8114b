"""The kinds of calls of the mixed load: each is a coroutine that returns how many times it asked again, or raises.

Callers without p2pclient do what the documents tell them: when a worker does not answer, or answers that it is leaving
or busy, they look up again.
"""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Awaitable, Callable

import aiohttp
import dns.asyncquery
import dns.message
import dns.rcode
import numpy as np

from benchmarks.harness.inputs import PHOTO
from benchmarks.soak.targets import IMAGES, TENSORS, WIDTH, Targets
from p2pclient import AsyncClient

WITHIN_S = 10.0
"""A call fails that has no good answer within this time."""

PAUSE_S = 0.1
"""Between an attempt that failed and the next."""

_ROW = [float(number) for number in range(1, WIDTH + 1)]

Call = Callable[[], Awaitable[int]]


class NotAnswered(Exception):
    """An attempt had no answer, or not the one that it should have had."""


def kinds(targets: Targets, watching: AsyncClient, asking: AsyncClient, http: aiohttp.ClientSession) -> dict[str, Call]:
    """Each kind of call by its name; `watching` keeps a list of workers, `asking` looks up at each call."""
    plain = _PlainCalls(targets, http)
    photo = PHOTO.read_bytes()
    row = {"left": np.array([_ROW], np.float32), "right": np.array([_ROW], np.float32)}

    async def classify(client: AsyncClient) -> int:
        return (await client.classify(photo)).attempts - 1

    async def predict(client: AsyncClient) -> int:
        return (await client.predict(row, service=TENSORS)).attempts - 1

    return {
        "p2pclient: classify": lambda: classify(watching),
        "p2pclient: classify, a lookup each": lambda: classify(asking),
        "p2pclient: predict tensors": lambda: predict(watching),
        "curl: a lookup, then the image": lambda: again(plain.two_curls),
        "curl -L: one step by 307": lambda: again(plain.redirected_curl),
        "JSON: an image in base64": lambda: again(plain.json_image),
        "JSON: tensors": lambda: again(plain.json_tensors),
        "lookups alone": plain.lookups,
        "DNS: SRV": plain.srv,
    }


async def again(attempt: Callable[[], Awaitable[None]]) -> int:
    """Try until an attempt is answered; how many were not. Raises what the last one raised when the time is over."""
    end_s = time.monotonic() + WITHIN_S
    failed = 0
    while True:
        try:
            await attempt()
        except (NotAnswered, aiohttp.ClientError, TimeoutError):
            failed += 1
            if time.monotonic() > end_s:
                raise
            await asyncio.sleep(PAUSE_S)
        else:
            return failed


class _PlainCalls:
    """Calls without p2pclient."""

    def __init__(self, targets: Targets, http: aiohttp.ClientSession) -> None:
        self._targets = targets
        self._http = http
        self._query = dns.message.make_query(f"{IMAGES}.service.consul", "SRV")
        image = base64.b64encode(PHOTO.read_bytes()).decode()
        self._image = json.dumps({"instances": [{"b64": image}]}).encode()
        self._tensors = json.dumps({"instances": [{"left": _ROW, "right": _ROW}]}).encode()

    async def two_curls(self) -> None:
        """Two steps, as in the article."""
        address = (await _curl(f"{self._targets.lookup_url}/next")).strip()
        await _curl("-F", f"data=@{PHOTO}", address)

    async def redirected_curl(self) -> None:
        """One step: the lookup service answers with 307."""
        await _curl("-L", "-H", "Expect: 100-continue", "-F", f"data=@{PHOTO}", self._targets.lookup_url)

    async def json_image(self) -> None:
        """An image by TensorFlow Serving's REST."""
        await self._post_json(IMAGES, self._image)

    async def json_tensors(self) -> None:
        """Tensors by TensorFlow Serving's REST."""
        await self._post_json(TENSORS, self._tensors)

    async def _post_json(self, service: str, body: bytes) -> None:
        address = (await self._get(f"/next/{service}")).decode().strip()
        async with self._http.post(f"http://{address}/v1/models/{service}:predict", data=body) as answer:
            if answer.status != 200:
                raise NotAnswered(f"{answer.status} {(await answer.text())[:100]}")
            await answer.read()

    async def lookups(self) -> int:
        """Four lookups, one of each form; none is tried again."""
        await self._get("/next")
        await self._get("/next", Accept="application/json")
        await self._get(f"/next/{IMAGES}?count=3", Accept="application/json")
        await self._get("/")
        return 0

    async def _get(self, path: str, **headers: str) -> bytes:
        async with self._http.get(f"{self._targets.lookup_url}{path}", headers=headers) as answer:
            text = await answer.read()
            if answer.status != 200 or not text:
                raise NotAnswered(f"GET {path}: {answer.status} {text[:100]!r}")
            return text

    async def srv(self) -> int:
        """The workers' SRV records; the query is not sent again."""
        answer = await dns.asyncquery.udp(self._query, "127.0.0.1", port=self._targets.dns, timeout=WITHIN_S)
        if answer.rcode() != dns.rcode.NOERROR or not answer.answer:
            raise NotAnswered(f"DNS: {dns.rcode.to_text(answer.rcode())}, {len(answer.answer)} records")
        return 0


async def _curl(*arguments: str) -> str:
    """What curl prints of a 2xx answer."""
    command = ["curl", "-s", "-S", "-f", "-m", str(WITHIN_S), *arguments]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe)
    printed, errors = await process.communicate()
    if process.returncode:
        raise NotAnswered(errors.decode().strip())
    return printed.decode()
