"""One probe of a service: makes an HTTP request or a TCP connection, and returns a status and a line of output."""

from __future__ import annotations

import asyncio
import errno
import ssl
from http import HTTPStatus

import aiohttp
from multidict import CIMultiDict

from registry.agent.checks.definitions import HttpProbe, TcpProbe
from registry.agent.state.records import Status
from registry.runtime.tls.trust import verification_fault

Outcome = tuple[Status, str]

# What Consul's agent sends.
_HEADERS = {"User-Agent": "Consul Health Check", "Accept": "text/plain, text/*, */*"}


def status_of(code: int) -> Status:
    """Consul's rule: any 2xx is passing, 429 (Too Many Requests) a warning, all else critical."""
    if 200 <= code <= 299:
        return Status.PASSING
    return Status.WARNING if code == HTTPStatus.TOO_MANY_REQUESTS else Status.CRITICAL


def open_session(tls: ssl.SSLContext | bool) -> aiohttp.ClientSession:
    """The HTTP session of all probes: each has a new connection, and no cookies are kept.

    `tls` is what the certificates of servers are verified with; True: the system's authorities.
    """
    connector = aiohttp.TCPConnector(limit=0, force_close=True, ssl=tls)
    return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())


async def run_probe(probe: HttpProbe | TcpProbe, session: aiohttp.ClientSession) -> Outcome:
    """Probe once. Every failure is an outcome: critical, with the reason as its output."""
    if isinstance(probe, TcpProbe):
        return await _run_tcp(probe)
    return await _run_http(probe, session)


async def _run_http(probe: HttpProbe, session: aiohttp.ClientSession) -> Outcome:
    headers = CIMultiDict(_HEADERS)
    for name, values in probe.headers.items():
        headers.popall(name, None)
        headers.extend((name, value) for value in values)
    try:
        async with asyncio.timeout(probe.timeout_s):
            response = await session.request(
                probe.method,
                probe.url,
                headers=headers,
                skip_auto_headers=("Content-Type",),
                data=probe.body.encode() or None,
                ssl=probe.verify_tls,
                allow_redirects=probe.follow_redirects,
                timeout=aiohttp.ClientTimeout(total=None),
            )
            async with response:
                body = await _first_bytes(response, probe.output_max_bytes)
    except TimeoutError:
        return Status.CRITICAL, f'{_verb(probe)} "{probe.url}": no complete answer within {probe.timeout_s:g}s'
    except Exception as error:  # a URL, a method or a header can be wrong in more ways than aiohttp has errors for
        return Status.CRITICAL, f'{_verb(probe)} "{probe.url}": {_reason(error)}'
    status_line = f"{response.status} {_phrase(response)}"
    return status_of(response.status), f"HTTP {probe.method} {probe.url}: {status_line} Output: {body}"


async def _run_tcp(probe: TcpProbe) -> Outcome:
    host, _, port = probe.address.rpartition(":")
    if not port.isdecimal():
        return Status.CRITICAL, f"dial tcp: address {probe.address}: missing port in address"
    try:
        async with asyncio.timeout(probe.timeout_s):
            _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
        writer.close()
    except TimeoutError:
        return Status.CRITICAL, f"dial tcp {probe.address}: no connection within {probe.timeout_s:g}s"
    except (OSError, UnicodeError, OverflowError) as error:
        return Status.CRITICAL, _reason(error, address=probe.address)
    return Status.PASSING, f"TCP connect {probe.address}: Success"


async def _first_bytes(response: aiohttp.ClientResponse, limit: int) -> str:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) >= limit:
            break
    return body[:limit].decode("utf-8", errors="replace")


def _verb(probe: HttpProbe) -> str:
    return probe.method.capitalize()


def _phrase(response: aiohttp.ClientResponse) -> str:
    try:
        return HTTPStatus(response.status).phrase
    except ValueError:
        return response.reason or ""


def _reason(error: Exception, *, address: str = "") -> str:
    """Why it failed, in the words of Go's network library where there are well-known ones."""
    if isinstance(error, aiohttp.ClientConnectorError):
        address = f"{error.host}:{error.port}"
    if isinstance(error, OSError) and error.errno == errno.ECONNREFUSED:
        return f"dial tcp {address}: connect: connection refused"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"x509: {verification_fault(error.certificate_error)}"
    if isinstance(error, aiohttp.InvalidURL):
        return "not an http or https URL that can be asked"
    if isinstance(error, aiohttp.TooManyRedirects):
        return "stopped after 10 redirects"
    return f"{f'dial tcp {address}: ' if address else ''}{error or type(error).__name__}"
