"""A request through the proxy: to the next worker, and its answer back, neither ever held as a whole.

Bytes are read from one side only as fast as the other takes them. What is sent again, and when:

    no connection could be made               any request, to each other worker once
    broken off before any answer, and
      none of its body was forwarded yet      any request, once, to the next worker
      it has no body and is idempotent        once, to the same worker (aiohttp does that by itself)
    anything else                             never: it could happen twice

A connection to a worker is kept for the next request, but not for longer than POOL_IDLE_S, so that the worker
does not close it in the very moment in which a POST, which must not be repeated, is sent on it.
"""

from __future__ import annotations

import asyncio
import logging

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from registry.consul.instance import Instance
from registry.proxy.headers import request_headers, response_headers
from registry.proxy.upload import Idle, PatientResponse, Upload
from registry.proxy.upstreams import Workers
from registry.web.drain import answer_unread, drop_body
from registry.web.refusal import Refusal, refused
from registry.web.request_target import origin_form

logger = logging.getLogger(__name__)

ATTEMPTS_AT_MOST = 5

REST_S = 10.0
"""How long a worker that could not be reached is passed over while there are others: nginx's fail_timeout."""

POOL_IDLE_S = 1.5
"""Shorter than what any usual server keeps an idle connection for; gunicorn's 2 s is the shortest."""

BUFFER_BYTES = 1 << 16
"""What is read ahead of the slower side before reading stops, on each connection (aiohttp doubles it)."""

_NEVER_INVENTED = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
_UNREACHABLE = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)


def open_session(*, connect_timeout_s: float) -> aiohttp.ClientSession:
    """The connections to workers; they add nothing to a request and take nothing from an answer."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=POOL_IDLE_S),
        timeout=aiohttp.ClientTimeout(total=None, connect=connect_timeout_s),
        response_class=PatientResponse,
        cookie_jar=aiohttp.DummyCookieJar(),
        skip_auto_headers=_NEVER_INVENTED,
        auto_decompress=False,
        trust_env=False,
        read_bufsize=BUFFER_BYTES,
    )


class Relayed(web.StreamResponse):
    """A worker's answer on its way to the client: `said` are the headers that the worker gave."""

    said: CIMultiDict[str] = CIMultiDict()


class Proxy:
    """Forwards requests to `workers` over `session`.

    An exchange in which for `idle_s` nothing moves is given up: 504 while the worker is waited for, 408 while
    the client is.
    """

    def __init__(self, workers: Workers, session: aiohttp.ClientSession, *, idle_s: float) -> None:
        self._workers = workers
        self._session = session
        self._idle_s = idle_s
        self._resting: dict[str, float] = {}

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Any request: forward it, and give the worker's answer, or say why there is none."""
        idle, relayed = Idle(self._idle_s), Relayed()
        upload = Upload(request, idle)
        try:
            async with idle.alarm, await self._ask(request, upload) as answer:
                await _hand_back(request, answer, relayed, upload, idle)
        except Refusal as refusal:
            return await answer_unread(request, refused(refusal))
        except TimeoutError:
            if not relayed.prepared:
                return await answer_unread(request, refused(self._late(upload)))
            _cut(request, "for too long nothing moved")
        except (aiohttp.ClientError, ConnectionError) as error:
            _cut(request, str(error))
        else:
            await drop_body(request)
        return relayed

    async def _ask(self, request: web.Request, upload: Upload) -> aiohttp.ClientResponse:
        """The head of a worker's answer, the body still to be read. Raises Refusal where there is none."""
        tried: set[str] = set()
        repeated = False
        problem = Refusal(503, "No healthy worker right now: try again.", again=True)
        for _ in range(ATTEMPTS_AT_MOST):
            worker = self._choose(tried)
            if worker is None:
                break
            try:
                return await self._send(request, worker, upload)
            except _UNREACHABLE as error:
                tried.add(worker.id)
                self._rest(worker, error)
                problem = _problem(worker, error)
            except (aiohttp.ClientError, OSError) as error:
                problem = _problem(worker, error)
                if repeated or not upload.repeatable or isinstance(error, aiohttp.ClientResponseError):
                    raise problem from error
                repeated = True
        raise problem

    async def _send(self, request: web.Request, worker: Instance, upload: Upload) -> aiohttp.ClientResponse:
        headers = request_headers(
            request.raw_headers,
            version=f"{request.version.major}.{request.version.minor}",
            peer=request.remote or "",
            host=request.host,
            scheme=request.scheme,
            expects=upload.unasked,
        )
        answer = await self._session.request(
            request.method,
            URL(f"http://{worker.address}{origin_form(request.raw_path)}", encoded=True),
            headers=headers,
            data=upload.chunks() if upload.exists else None,
            allow_redirects=False,
        )
        if answer.status == 101:
            answer.close()
            raise Refusal(502, f"The worker at {worker.address} changed protocols unasked.")
        return answer

    def _choose(self, tried: set[str]) -> Instance | None:
        """The next worker that was not tried; one that rests only where there is no other."""
        if self._resting:
            now_s = asyncio.get_running_loop().time()
            self._resting = {id_: until_s for id_, until_s in self._resting.items() if until_s > now_s}
        return self._workers.next(tried | self._resting.keys()) or self._workers.next(tried)

    def _rest(self, worker: Instance, error: Exception) -> None:
        logger.warning("%s It rests for %g s.", _problem(worker, error), REST_S)
        self._resting[worker.id] = asyncio.get_running_loop().time() + REST_S

    def _late(self, upload: Upload) -> Refusal:
        if upload.awaited:
            return Refusal(408, f"For {self._idle_s:g} s nothing came of the body.")
        return Refusal(504, f"For {self._idle_s:g} s nothing came from the worker: try again.")


async def _hand_back(
    request: web.Request, answer: aiohttp.ClientResponse, relayed: Relayed, upload: Upload, idle: Idle
) -> None:
    """Give the client what the worker answers, as it comes."""
    assert answer.version is not None  # its head was read
    version = f"{answer.version.major}.{answer.version.minor}"
    relayed.set_status(answer.status, answer.reason)
    relayed.said = response_headers(answer.raw_headers, version=version)
    relayed.headers.extend(relayed.said)
    if upload.unasked:
        relayed.force_close()  # whether the client now sends its body cannot be known
    try:
        await relayed.prepare(request)
    except ValueError as error:
        raise Refusal(502, "The worker answered with control characters in its headers.") from error
    async for chunk in answer.content.iter_any():
        await relayed.write(chunk)
        idle.moved()
    await relayed.write_eof()


def _problem(worker: Instance, error: Exception) -> Refusal:
    where = f"The worker at {worker.address}"
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return Refusal(504, f"{where} cannot be reached in time: is its host up?")
    if isinstance(error, aiohttp.ClientConnectorError):
        return Refusal(502, f"{where} cannot be reached: is it running?")
    if isinstance(error, aiohttp.ClientResponseError):
        return Refusal(502, f"{where} does not answer in HTTP: is it the right port?")
    return Refusal(502, f"{where} broke off before it answered: try again.")


def _cut(request: web.Request, why: str) -> None:
    """End an answer that cannot be completed, so that the client sees that it is not complete."""
    logger.info("An answer to %s was cut off: %s.", request.remote, why)
    if request.transport is not None:
        request.transport.abort()
