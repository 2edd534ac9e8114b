"""One HTTP exchange over the network: a request goes out, a bounded answer comes in, or an error says why not.

The session lives as long as the client, is made in the loop that first uses it, follows no redirect and
reads no proxy settings; `connection_pool` says how long its connections are kept.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import time
from collections.abc import AsyncIterator, Mapping
from typing import TypeVar

import aiohttp
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from p2pclient.concurrency.interruption import Interruption
from p2pclient.errors import ClientClosed
from p2pclient.failures import without_frames
from p2pclient.messages import Answer, one_line
from p2pclient.transport.base import ExchangeFailed
from p2pclient.transport.connection_pool import ConnectionPool, reused
from p2pclient.transport.tls_failure import CLOSED, tls_failure

E = TypeVar("E", bound=Exception)

MAX_ANSWER_BYTES = 16 * 2**20
_PIECE_BYTES = 2**20
"""A larger body is written piece by piece: aiohttp and asyncio copy what they are given at once, in the event loop."""


class HttpTransport:
    """All the connections of one client: a `Transport`.

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
        self, method: str, url: URL, *, headers: Mapping[str, str], timeout_s: float, body: bytes | None = None
    ) -> Answer:
        """Send one request and read the whole answer, both within `timeout_s`.

        Raises ExchangeFailed if there is none, ClientClosed once the client is closed.
        """
        began_s = time.monotonic()
        answered: list[bool] = []
        interruption = Interruption()
        timer = interruption.loop.call_later(timeout_s, interruption.stop)
        try:
            return await self._exchange(method, url, headers, body, answered)
        except asyncio.CancelledError:
            if not interruption.ended():
                raise
            spent_s = time.monotonic() - began_s
            raise ExchangeFailed(f"no answer within {spent_s:.3g} s", silent_s=spent_s) from None
        except (aiohttp.ClientError, ValueError) as error:
            meaning = self._meaning(error, answered=bool(answered), tls=url.scheme == "https")
            raise meaning from without_frames(_without_headers(error))
        finally:
            timer.cancel()

    def _meaning(self, error: Exception, *, answered: bool, tls: bool) -> Exception:
        """What an exception of aiohttp's means to the client; `tls`: it was of an exchange over https."""
        if isinstance(error, aiohttp.ConnectionTimeoutError):
            return ExchangeFailed(f"no connection within {self._connect_timeout_s:g} s", gone=True, unmet=True)
        if isinstance(error, aiohttp.ClientConnectionError | aiohttp.ClientPayloadError):
            if self._closed:
                return ClientClosed("the client was closed during the call")
            unmet = isinstance(error, aiohttp.ClientConnectorError)
            stale = not unmet and not answered and reused.get()
            failed_at_start = tls and not (unmet or answered or reused.get())
            why = (tls_failure(str(error)) or CLOSED) if failed_at_start else _reason(error, answered)
            return ExchangeFailed(why, gone=True, unmet=unmet, stale=stale)
        if not isinstance(error, aiohttp.ClientError):  # a ValueError: the host or a header is impossible
            return ExchangeFailed(f"the request cannot be sent ({one_line(str(error))})", gone=True, unmet=True)
        return ExchangeFailed(f"this is no HTTP ({one_line(str(error))})")

    async def _exchange(
        self, method: str, url: URL, headers: Mapping[str, str], body: bytes | None, answered: list[bool]
    ) -> Answer:
        data: bytes | AsyncIterator[memoryview] | None = body
        if body is not None and len(body) > _PIECE_BYTES:
            data, headers = _Pieces(body), {**headers, "Content-Length": str(len(body))}
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
                raise ExchangeFailed(f"the answer is larger than {self._max_answer_bytes / 2**20:g} MiB")
        return bytes(body)

    def _open(self) -> aiohttp.ClientSession:
        if self._closed:
            raise ClientClosed("this client is closed: make a new one, or close it later")
        self._session = aiohttp.ClientSession(
            connector=ConnectionPool(tls=self._tls),
            # `exchange` limits the total: aiohttp would round it up to whole seconds.
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._connect_timeout_s),
            headers={"User-Agent": "p2pclient", "Accept-Encoding": "identity"},
            # Nothing compressed was asked for: a few bytes that decompress to gigabytes stay a few bytes.
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


class _Pieces:
    """A body in pieces, without a copy; no generator, whose end would need a task where a request is given up."""

    def __init__(self, body: bytes) -> None:
        self._rest = memoryview(body)

    def __aiter__(self) -> _Pieces:
        return self

    async def __anext__(self) -> memoryview:
        if not self._rest:
            raise StopAsyncIteration
        piece, self._rest = self._rest[:_PIECE_BYTES], self._rest[_PIECE_BYTES:]
        return piece


def _without_headers(error: E) -> E:
    """The error without the headers of its request, which hold the token: a repr of the error would show them."""
    if isinstance(error, aiohttp.ClientResponseError):
        error.request_info = error.request_info._replace(headers=CIMultiDictProxy(CIMultiDict()))
        error.args = ()
    return error


def _reason(error: aiohttp.ClientError, answered: bool) -> str:
    """Why a connection failed, in the words of the system where it has any."""
    tls = tls_failure(str(error))
    if tls is not None:
        return tls
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(cause, OSError) and cause.errno is not None:
        return (os.strerror(cause.errno) if cause.errno > 0 else cause.strerror or str(cause)).lower()
    if isinstance(error, aiohttp.ClientConnectorError):  # a name with several addresses, which failed differently
        return one_line(str(cause)) or "no connection"
    return "the connection was cut in mid-answer" if answered else "the connection was closed"
