"""One HTTP exchange: a request goes out, a bounded answer comes in, or it is said how it broke.

The session lives as long as the client, is made in the loop that first uses it, follows no redirect,
reads no proxy settings and keeps idle connections for 15 s: shorter than servers do, so that it is
seldom the server that hangs up first (source: gRPC A9, HTTP servers' usual 60 s and more).
"""

from __future__ import annotations

import asyncio
import io
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import aiohttp
from yarl import URL

from p2pclient.errors import ClientClosed

MAX_ANSWER_BYTES = 16 * 2**20
KEEP_ALIVE_S = 15.0
_SENTENCE_CHARS = 300


class Broken(Exception):
    """The exchange did not come to a whole answer; the text says why, in a few words.

    `late`: time ran out. `gone`: the connection failed. `stale`: it did so before any answer and had been
    kept from an earlier request, so that the server may have closed it merely for having been idle.
    """

    def __init__(self, why: str, *, late: bool = False, gone: bool = False, stale: bool = False) -> None:
        super().__init__(why)
        self.late = late
        self.gone = gone
        self.stale = stale


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer; what it means is for `lookup` and `post` to say."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def retry_after_s(self) -> float:
        """The `Retry-After` header in seconds; 0 if there is none that counts seconds."""
        value = self.headers.get("Retry-After", "").strip()
        return float(value) if value.isascii() and value.isdigit() and len(value) < 10 else 0.0

    @property
    def html(self) -> bool:
        """Whether this is a page for a browser: nothing of ours answers so."""
        return "html" in self.headers.get("Content-Type", "")

    def json(self) -> Any:
        """The body as JSON; raises ValueError if it is none."""
        return json.loads(self.body)

    def error(self) -> str | None:
        """The sentence of a contract's `{"error": "sentence"}`; None if the body is something else."""
        try:
            sentence = self.json()["error"]
        except (ValueError, TypeError, LookupError, RecursionError):
            return None
        return _one_line(sentence) if isinstance(sentence, str) else None

    def sentence(self) -> str:
        """What the answer says in words: its error sentence, or its first line, fit for a terminal."""
        return self.error() or _one_line(self.body[: 4 * _SENTENCE_CHARS].decode("utf-8", "replace"))


def _one_line(text: str) -> str:
    """The first line, without what could steer a terminal, cut to a readable length."""
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return "".join(c if c.isprintable() else "?" for c in line)[:_SENTENCE_CHARS]


@dataclass(slots=True)
class _Course:
    """How far an exchange has come."""

    reused: bool = False
    answered: bool = False


class Wire:
    """All the connections of one client."""

    def __init__(self, *, connect_timeout_s: float) -> None:
        self._connect_timeout_s = connect_timeout_s
        self._session: aiohttp.ClientSession | None = None
        self._closed = False

    async def exchange(
        self, method: str, url: str, *, headers: Mapping[str, str], limit_s: float, body: bytes | None = None
    ) -> Answer:
        """Send one request and read the answer whole, both within `limit_s` seconds.

        Raises Broken if that does not succeed, ClientClosed once the client is closed.
        """
        course = _Course()
        try:
            async with asyncio.timeout(limit_s):
                return await self._exchange(method, url, headers, body, course)
        except (TimeoutError, aiohttp.ClientError) as error:
            raise self._told(error, course, limit_s) from _without_frames(error)

    def _told(self, error: Exception, course: _Course, limit_s: float) -> Exception:
        """What an exception of aiohttp's means to the client."""
        if isinstance(error, aiohttp.ConnectionTimeoutError):
            return Broken(f"no connection within {self._connect_timeout_s:g} s", gone=True)
        if isinstance(error, TimeoutError):
            return Broken(f"no answer within {limit_s:.3g} s", late=True)
        if isinstance(error, aiohttp.ClientConnectionError | aiohttp.ClientPayloadError):
            if self._closed:
                return ClientClosed("the client was closed during the call")
            return Broken(_reason(error, course), gone=True, stale=course.reused and not course.answered)
        return Broken(f"this is no HTTP ({_one_line(str(error))})")

    async def _exchange(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, course: _Course
    ) -> Answer:
        # A BytesIO shares the bytes without a copy, and aiohttp writes it out piece by piece.
        async with self._open().request(
            method,
            URL(url, encoded=True),
            headers=headers,
            data=None if body is None else io.BytesIO(body),
            allow_redirects=False,
            trace_request_ctx=course,
        ) as response:
            course.answered = True
            return Answer(response.status, response.headers, await _read(response))

    def _open(self) -> aiohttp.ClientSession:
        if self._closed:
            raise ClientClosed("this client is closed: make a new one, or close it later")
        if self._session is None:
            trace = aiohttp.TraceConfig()
            trace.on_connection_reuseconn.append(_mark_reused)
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE_S),
                # `exchange` keeps the total: aiohttp would round it up to whole seconds.
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._connect_timeout_s),
                headers={"User-Agent": "p2pclient", "Accept-Encoding": "identity"},
                cookie_jar=aiohttp.DummyCookieJar(),
                trace_configs=[trace],
                trust_env=False,
            )
        return self._session

    async def close(self) -> None:
        """Close every connection; calls under way end with ClientClosed."""
        self._closed = True
        if self._session is not None:
            await self._session.close()


def _without_frames(error: Exception) -> Exception:
    """The error without its tracebacks, those of its causes included.

    Frames of the libraries below keep the very errors they raise. Through such a circle the image, which
    a frame above holds, would stay in memory until the garbage collector comes by.
    """
    link: BaseException | None = error
    while link is not None:
        link.__traceback__ = None
        link = link.__cause__ or link.__context__
    return error


async def _mark_reused(_session: aiohttp.ClientSession, context: SimpleNamespace, _params: Any) -> None:
    context.trace_request_ctx.reused = True


async def _read(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > MAX_ANSWER_BYTES:
            raise Broken(f"the answer is larger than {MAX_ANSWER_BYTES // 2**20} MiB")
    return bytes(body)


def _reason(error: aiohttp.ClientError, course: _Course) -> str:
    """Why a connection failed, in the words of the system where it has any."""
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(cause, OSError) and cause.errno is not None:
        return (os.strerror(cause.errno) if cause.errno > 0 else cause.strerror or str(cause)).lower()
    return "the connection was cut in mid-answer" if course.answered else "the connection was closed"
