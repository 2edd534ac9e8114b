"""One HTTP exchange: a request goes out, a bounded answer comes in, or it is said how it broke.

The session lives as long as the client, is made in the loop that first uses it, follows no redirect and
reads no proxy settings; `connections` says how long its connections are kept.
"""

from __future__ import annotations

import asyncio
import io
import json
import os
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import aiohttp
from yarl import URL

from p2pclient.errors import ClientClosed
from p2pclient.transport.connection_pool import AgingConnector, reused

E = TypeVar("E", bound=Exception)

MAX_ANSWER_BYTES = 16 * 2**20
_PIECES_FROM_BYTES = 2**20  # above this, aiohttp wants to write a body piece by piece
_SENTENCE_CHARS = 300
_LEAVE_S = 0.1


class Broken(Exception):
    """The exchange did not come to a whole answer; the text says why, in a few words.

    `silent_s`: time ran out after so many seconds without an answer; None: it did not. `gone`: the connection
    failed. `unmet`: there never was one, nobody has been burdened. `stale`: it failed before any answer and had
    been kept from an earlier request, so that the server may have closed it merely for having been idle.
    """

    def __init__(
        self,
        why: str,
        *,
        silent_s: float | None = None,
        gone: bool = False,
        unmet: bool = False,
        stale: bool = False,
    ) -> None:
        super().__init__(why)
        self.silent_s = silent_s
        self.gone = gone
        self.unmet = unmet
        self.stale = stale


@dataclass(frozen=True, slots=True)
class Limit:
    """How long an exchange may take: `hard_s` seconds.

    From `soft_s` on `leave` is asked, ten times a second, whether it is given up already: the answer may
    depend on whether there is anything better to do by then.
    """

    hard_s: float
    soft_s: float = 0.0
    leave: Callable[[], bool] | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer; what it means is for `lookup`, `consul` and `post` to say."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def retry_after_s(self) -> float:
        """The `Retry-After` header in seconds; 0 if there is none that counts seconds."""
        return self.number("Retry-After")

    def number(self, header: str) -> float:
        """A header that holds a whole number of reasonable size; 0 if it is missing or anything else."""
        value = self.headers.get(header, "").strip()
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


class Wire:
    """All the connections of one client.

    `tls` is what https is verified with; no answer may be larger than `max_answer_bytes`.
    """

    def __init__(
        self,
        *,
        connect_timeout_s: float,
        tls: ssl.SSLContext | bool = True,
        max_answer_bytes: int = MAX_ANSWER_BYTES,
    ) -> None:
        self._connect_timeout_s = connect_timeout_s
        self._tls = tls
        self._max_answer_bytes = max_answer_bytes
        self._session: aiohttp.ClientSession | None = None
        self._closed = False

    async def exchange(
        self, method: str, url: URL, *, headers: Mapping[str, str], limit: Limit, body: bytes | None = None
    ) -> Answer:
        """Send one request and read the answer whole, both within `limit`.

        Raises Broken if that does not succeed, ClientClosed once the client is closed.
        """
        began_s = time.monotonic()
        answered: list[bool] = []
        try:
            async with asyncio.timeout(limit.hard_s if limit.leave is None else None) as timeout:
                leaving = None if limit.leave is None else _Leaving(limit.hard_s, limit.soft_s, limit.leave, timeout)
                try:
                    return await self._exchange(method, url, headers, body, answered)
                finally:
                    if leaving is not None:
                        leaving.end()
        except (TimeoutError, aiohttp.ClientError) as error:
            raise self._told(error, bool(answered), time.monotonic() - began_s) from without_frames(error)

    def _told(self, error: Exception, answered: bool, spent_s: float) -> Exception:
        """What an exception of aiohttp's means to the client."""
        if isinstance(error, aiohttp.ConnectionTimeoutError):
            return Broken(f"no connection within {self._connect_timeout_s:g} s", gone=True, unmet=True)
        if isinstance(error, TimeoutError):
            return Broken(f"no answer within {spent_s:.3g} s", silent_s=spent_s)
        if isinstance(error, aiohttp.ClientConnectionError | aiohttp.ClientPayloadError):
            if self._closed:
                return ClientClosed("the client was closed during the call")
            unmet = isinstance(error, aiohttp.ClientConnectorError)
            stale = not unmet and not answered and reused.get()
            return Broken(_reason(error, answered), gone=True, unmet=unmet, stale=stale)
        return Broken(f"this is no HTTP ({_one_line(str(error))})")

    async def _exchange(
        self, method: str, url: URL, headers: Mapping[str, str], body: bytes | None, answered: list[bool]
    ) -> Answer:
        # A BytesIO shares the bytes without a copy, and aiohttp writes it out piece by piece.
        data = io.BytesIO(body) if body is not None and len(body) > _PIECES_FROM_BYTES else body
        session = self._session if self._session is not None and not self._closed else self._open()
        async with session.request(method, url, headers=headers, data=data, allow_redirects=False) as response:
            answered.append(True)
            return Answer(response.status, response.headers, await self._read(response))

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        if response.content_length is not None and response.content_length <= self._max_answer_bytes:
            return await response.read()  # which takes no more than what was announced
        body = bytearray()
        async for piece in response.content.iter_any():
            body += piece
            if len(body) > self._max_answer_bytes:
                raise Broken(f"the answer is larger than {self._max_answer_bytes / 2**20:g} MiB")
        return bytes(body)

    def _open(self) -> aiohttp.ClientSession:
        if self._closed:
            raise ClientClosed("this client is closed: make a new one, or close it later")
        self._session = aiohttp.ClientSession(
            connector=AgingConnector(tls=self._tls),
            # `exchange` keeps the total: aiohttp would round it up to whole seconds.
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._connect_timeout_s),
            headers={"User-Agent": "p2pclient", "Accept-Encoding": "identity"},
            # A few bytes that unfold to gigabytes are not unfolded: nothing compressed was asked for.
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
        )
        return self._session

    async def close(self) -> None:
        """Close every connection; calls under way end with ClientClosed."""
        self._closed = True
        if self._session is not None:
            await self._session.close()


class _Leaving:
    """Lets the time be over after `hard_s` seconds or, from `soft_s` on, as soon as `leave` agrees.

    One timer does for both: nearly every exchange is over long before.
    """

    __slots__ = ("_hard_at", "_leave", "_loop", "_next", "_timeout")

    def __init__(self, hard_s: float, soft_s: float, leave: Callable[[], bool], timeout: asyncio.Timeout) -> None:
        self._leave = leave
        self._timeout = timeout
        self._loop = asyncio.get_running_loop()
        self._hard_at = self._loop.time() + hard_s
        self._next = self._loop.call_later(min(soft_s, hard_s), self._ask)

    def _ask(self) -> None:
        now = self._loop.time()
        if now >= self._hard_at or self._leave():
            self._timeout.reschedule(now)
        else:
            self._next = self._loop.call_at(min(self._hard_at, now + _LEAVE_S), self._ask)

    def end(self) -> None:
        self._next.cancel()


def without_frames(error: E) -> E:
    """The error without its tracebacks, those of its causes included.

    Frames keep the very errors that they raise or handle, or what leads to them. Through such a circle the
    image, which some of them hold, would stay in memory until the garbage collector comes by.
    """
    link: BaseException | None = error
    while link is not None:
        link.__traceback__ = None
        link = link.__cause__ or link.__context__
    return error


def _reason(error: aiohttp.ClientError, answered: bool) -> str:
    """Why a connection failed, in the words of the system where it has any."""
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(cause, ssl.SSLError):
        return f"TLS failed ({_one_line(str(cause))})"
    if isinstance(cause, OSError) and cause.errno is not None:
        return (os.strerror(cause.errno) if cause.errno > 0 else cause.strerror or str(cause)).lower()
    return "the connection was cut in mid-answer" if answered else "the connection was closed"
