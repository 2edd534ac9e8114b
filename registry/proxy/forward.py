"""Forwards a request to the next worker and streams its answer back; neither is ever held in memory as a whole.

The proxy reads from one side only as fast as the other side takes the bytes. A request is sent again in these cases:

    no connection could be made               any request, to each other worker once
    connection lost before any answer, and
      none of the body was forwarded yet      any request, once, to the next worker
      no body, and an idempotent method       once, to the same worker (aiohttp does that by itself)
    anything else                             never, since the request could take effect twice

A connection to a worker is kept for the next request for at most POOL_IDLE_S, so that the worker does not close it at
the very moment when a POST, which must not be repeated, is sent on it.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import ssl

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from registry.instances.instance import Instance
from registry.proxy.headers import request_headers, response_headers
from registry.proxy.upload import ContinueTimeoutResponse, IdleTimeout, Upload
from registry.proxy.upstreams import Workers
from registry.runtime.request_id import HEADER
from registry.runtime.tls.trust import verification_fault
from registry.web.discard_body import discard_body, respond_and_discard_body
from registry.web.refusal import Refusal, refused
from registry.web.request_ids import REQUEST_ID, WORKER
from registry.web.request_target import origin_form

logger = logging.getLogger(__name__)

ATTEMPTS_AT_MOST = 5

EJECTION_S = 10.0
"""How long a worker that could not be reached is left out while there are others: nginx's fail_timeout."""

POOL_IDLE_S = 1.5
"""Shorter than common servers keep an idle connection; gunicorn's 2 s is the shortest."""

BUFFER_BYTES = 1 << 16
"""How much is read ahead of the slower side, on each connection, before reading pauses (aiohttp doubles it)."""

_NOT_ADDED = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
_OWN_FAULTS = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL)
"""Errors of a connection that are due to this process or host, whatever the worker does."""

_UNREACHABLE = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)


def open_session(*, connect_timeout_s: float, tls: ssl.SSLContext | bool = True) -> aiohttp.ClientSession:
    """The connections to workers; they neither add headers to a request nor decode an answer.

    `tls` is what the certificates of workers are verified with; True: the system's authorities.
    """
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=POOL_IDLE_S, ssl=tls),
        timeout=aiohttp.ClientTimeout(total=None, connect=connect_timeout_s),
        response_class=ContinueTimeoutResponse,
        cookie_jar=aiohttp.DummyCookieJar(),
        skip_auto_headers=_NOT_ADDED,
        auto_decompress=False,
        trust_env=False,
        read_bufsize=BUFFER_BYTES,
    )


class ForwardedResponse(web.StreamResponse):
    """A worker's answer on its way to the client; `worker_headers` are the headers that the worker sent."""

    worker_headers: CIMultiDict[str] = CIMultiDict()


class Proxy:
    """Forwards requests to `workers` over `session`.

    An exchange in which no byte moves for `idle_s` is given up: 504 while it waits for the worker, 408 while it waits
    for the client.
    """

    def __init__(self, workers: Workers, session: aiohttp.ClientSession, *, idle_s: float) -> None:
        self._workers = workers
        self._session = session
        self._idle_s = idle_s
        self._ejected: dict[str, float] = {}

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Any request: forward it and return the worker's answer, or a refusal that says why there is none."""
        idle, response = IdleTimeout(self._idle_s), ForwardedResponse()
        upload = Upload(request, idle)
        try:
            async with idle.timeout, await self._request(request, upload) as answer:
                await _stream_back(request, answer, response, upload, idle)
        except Refusal as refusal:
            return await respond_and_discard_body(request, refused(refusal))
        except TimeoutError:
            if not response.prepared:
                return await respond_and_discard_body(request, refused(self._timed_out(upload)))
            _abort(request, "for too long nothing moved")
        except (aiohttp.ClientError, ConnectionError) as error:
            _abort(request, str(error))
        else:
            await discard_body(request)
        return response

    async def _request(self, request: web.Request, upload: Upload) -> aiohttp.ClientResponse:
        """A worker's answer with its head read and its body not. Raises Refusal where no worker answers."""
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
                if error.errno in _OWN_FAULTS:
                    raise Refusal(503, "This proxy has no connection left: try again.", again=True) from error
                tried.add(worker.id)
                self._eject(worker, error)
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
            expects=upload.not_asked_for,
        )
        request[WORKER] = worker.address
        if REQUEST_ID in request:  # the access log has a line of it: the worker is to know the id, too
            headers[HEADER] = request[REQUEST_ID]
        answer = await self._session.request(
            request.method,
            URL(f"{worker.origin}{origin_form(request.raw_path)}", encoded=True),
            headers=headers,
            data=upload.chunks() if upload.exists else None,
            allow_redirects=False,
        )
        if answer.status == 101:
            answer.close()
            raise Refusal(502, f"The worker at {worker.address} changed protocols unasked.")
        return answer

    def _choose(self, tried: set[str]) -> Instance | None:
        """The next worker that was not tried; an ejected one only where there is no other."""
        if self._ejected:
            now_s = asyncio.get_running_loop().time()
            self._ejected = {id_: until_s for id_, until_s in self._ejected.items() if until_s > now_s}
        return self._workers.next(tried | self._ejected.keys()) or self._workers.next(tried)

    def _eject(self, worker: Instance, error: Exception) -> None:
        logger.warning("%s It rests for %g s.", _problem(worker, error), EJECTION_S)
        self._ejected[worker.id] = asyncio.get_running_loop().time() + EJECTION_S

    def _timed_out(self, upload: Upload) -> Refusal:
        if upload.awaited:
            return Refusal(408, f"For {self._idle_s:g} s nothing came of the body.")
        return Refusal(504, f"For {self._idle_s:g} s nothing came from the worker: try again.")


async def _stream_back(
    request: web.Request, answer: aiohttp.ClientResponse, response: ForwardedResponse, upload: Upload, idle: IdleTimeout
) -> None:
    """Stream the worker's answer to the client as it comes."""
    assert answer.version is not None  # its head was read
    version = f"{answer.version.major}.{answer.version.minor}"
    response.set_status(answer.status, answer.reason)
    response.worker_headers = response_headers(answer.raw_headers, version=version)
    response.headers.extend(response.worker_headers)
    if upload.not_asked_for:
        response.force_close()  # the client may send its body now or not
    try:
        await response.prepare(request)
    except ValueError as error:
        raise Refusal(502, "The worker answered with control characters in its headers.") from error
    async for chunk in answer.content.iter_any():
        await response.write(chunk)
        idle.moved()
    await response.write_eof()


def _problem(worker: Instance, error: Exception) -> Refusal:
    where = f"The worker at {worker.address}"
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return Refusal(504, f"{where} cannot be reached in time: is its host up?")
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        why = verification_fault(error.certificate_error)
        return Refusal(502, f"{where} has a certificate that this proxy does not trust ({why}): see --upstream-ca.")
    if isinstance(error, aiohttp.ClientConnectorError):
        return Refusal(502, f"{where} cannot be reached: is it running?")
    if isinstance(error, aiohttp.ClientResponseError):
        return Refusal(502, f"{where} does not answer in HTTP: is it the right port?")
    return Refusal(502, f"{where} broke off before it answered: try again.")


def _abort(request: web.Request, why: str) -> None:
    """Abort an answer that cannot be completed, so that the client sees that it is incomplete."""
    logger.info("An answer to %s was cut off: %s.", request.remote, why)
    if request.transport is not None:
        request.transport.abort()
