"""One probe of a service: an HTTP request or a TCP connection made, a status and a line of output out."""

from __future__ import annotations

import asyncio
import errno
from http import HTTPStatus

import aiohttp
from multidict import CIMultiDict

from registry.agent.checks.definitions import HttpProbe, TcpProbe
from registry.agent.state.records import Status

Outcome = tuple[Status, str]

# What Consul's agent sends.
_HEADERS = {"User-Agent": "Consul Health Check", "Accept": "text/plain, text/*, */*"}


def status_of(code: int) -> Status:
    """Consul's rule: any 2xx is passing, 429 (Too Many Requests) a warning, all else critical."""
    if 200 <= code <= 299:
        return Status.PASSING
    return Status.WARNING if code == HTTPStatus.TOO_MANY_REQUESTS else Status.CRITICAL


def open_session() -> aiohttp.ClientSession:
    """The session of all HTTP probes: a new connection for each, and no cookies."""
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())


async def probe(one: HttpProbe | TcpProbe, session: aiohttp.ClientSession) -> Outcome:
    """Try once. Whatever goes wrong is an outcome, critical, with the reason as its output."""
    if isinstance(one, TcpProbe):
        return await _probe_tcp(one)
    return await _probe_http(one, session)


async def _probe_http(one: HttpProbe, session: aiohttp.ClientSession) -> Outcome:
    headers = CIMultiDict(_HEADERS)
    for name, values in one.headers.items():
        headers.popall(name, None)
        headers.extend((name, value) for value in values)
    try:
        async with asyncio.timeout(one.timeout_s):
            response = await session.request(
                one.method,
                one.url,
                headers=headers,
                skip_auto_headers=("Content-Type",),
                data=one.body.encode() or None,
                ssl=one.verify_tls,
                allow_redirects=one.follow_redirects,
                timeout=aiohttp.ClientTimeout(total=None),
            )
            async with response:
                body = await _first_bytes(response, one.output_max_bytes)
    except TimeoutError:
        return Status.CRITICAL, f'{_verb(one)} "{one.url}": no complete answer within {one.timeout_s:g}s'
    except Exception as error:  # a URL, a method or a header can be wrong in more ways than aiohttp has errors for
        return Status.CRITICAL, f'{_verb(one)} "{one.url}": {_reason(error)}'
    said = f"{response.status} {_phrase(response)}"
    return status_of(response.status), f"HTTP {one.method} {one.url}: {said} Output: {body}"


async def _probe_tcp(one: TcpProbe) -> Outcome:
    host, _, port = one.address.rpartition(":")
    if not port.isdecimal():
        return Status.CRITICAL, f"dial tcp: address {one.address}: missing port in address"
    try:
        async with asyncio.timeout(one.timeout_s):
            _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
        writer.close()
    except TimeoutError:
        return Status.CRITICAL, f"dial tcp {one.address}: no connection within {one.timeout_s:g}s"
    except (OSError, UnicodeError, OverflowError) as error:
        return Status.CRITICAL, _reason(error, address=one.address)
    return Status.PASSING, f"TCP connect {one.address}: Success"


async def _first_bytes(response: aiohttp.ClientResponse, limit: int) -> str:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) >= limit:
            break
    return body[:limit].decode("utf-8", errors="replace")


def _verb(one: HttpProbe) -> str:
    return one.method.capitalize()


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
    if isinstance(error, aiohttp.InvalidURL):
        return "not an http or https URL that can be asked"
    if isinstance(error, aiohttp.TooManyRedirects):
        return "stopped after 10 redirects"
    return f"{f'dial tcp {address}: ' if address else ''}{error or type(error).__name__}"
