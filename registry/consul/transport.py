"""Carries py-consul's requests over an aiohttp session of our own.

py-consul's async client builds its session with deprecated TLS arguments, has one timeout for every call and does not
support Unix sockets; its paths, payloads and callbacks are what we use. `ConsulClient` is py-consul with the transport
replaced, through the method that it offers for that (`http_connect`).
"""

from __future__ import annotations

import asyncio
import os
import ssl
from base64 import b64encode
from collections.abc import Callable, Mapping
from functools import partialmethod
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import aiohttp
import consul.base
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from registry.consul.bounded_body import BodyUnusable, read_body
from registry.consul.errors import ConsulRefused, ConsulUnavailable
from registry.consul.settings import ConsulSettings
from registry.runtime.errors import SettingsError

_REDIRECTS = frozenset({301, 302, 303, 307, 308})

_LARGE_CHARACTERS = 100_000
"""A larger answer, of some 100 instances, is read in a thread: 5,000 instances take 40 milliseconds."""

Callback = Callable[[consul.base.Response], Any]


def _reason(error: Exception) -> str:
    """Why there is no answer, in the system's words; aiohttp's own name TLS also where none is used."""
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(cause, OSError) and not isinstance(cause, ssl.SSLError) and (cause.errno or 0) > 0:
        return os.strerror(cause.errno or 0).lower()
    return str(cause) or type(cause).__name__


class ConsulClient(consul.base.Consul):  # type: ignore[misc]  # py-consul publishes no types
    """py-consul's client for the agent that `settings` name; every call returns an awaitable.

    Calls raise ConsulUnavailable where no answer came within `timeout_s` or the answer is too large, ConsulRefused for
    a redirect and where one side does not trust the other's certificate, SettingsError where the certificates cannot
    be read.
    """

    def __init__(self, settings: ConsulSettings, *, timeout_s: float) -> None:
        self._settings = settings
        self._timeout_s = timeout_s
        parts = urlsplit(settings.url)
        super().__init__(host=parts.hostname or "localhost", port=parts.port or 80, scheme=parts.scheme)
        self.token = settings.token  # py-consul would let the environment win over what it was told

    def http_connect(self, *_: object, **__: object) -> _Transport:
        """The transport that py-consul uses for all its requests."""
        return _Transport(self._settings, timeout_s=self._timeout_s)

    async def close(self) -> None:
        """Close the session's connections."""
        await self.http.close()


class _Transport:
    """GET, DELETE, PUT and POST as py-consul's API classes call them."""

    def __init__(self, settings: ConsulSettings, *, timeout_s: float) -> None:
        self._url = settings.url
        self._base = "http://localhost" if settings.url.startswith("unix://") else settings.url
        self._settings = settings
        self._timeout_s = timeout_s
        self._session: aiohttp.ClientSession | None = None

    async def _bodiless(
        self, method: str, callback: Callback, path: str, params: Any = None, headers: Mapping[str, str] | None = None
    ) -> Any:
        return await self._request(method, callback, path, params, headers, None)

    async def _with_body(
        self,
        method: str,
        callback: Callback,
        path: str,
        params: Any = None,
        data: str | bytes = "",
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        return await self._request(method, callback, path, params, headers, data)

    get = partialmethod(_bodiless, "GET")
    delete = partialmethod(_bodiless, "DELETE")
    put = partialmethod(_with_body, "PUT")
    post = partialmethod(_with_body, "POST")

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def _request(
        self,
        method: str,
        callback: Callback,
        path: str,
        params: Any,
        headers: Mapping[str, str] | None,
        data: str | bytes | None,
    ) -> Any:
        url = f"{self._base}{quote(path, safe='/:')}"
        if params:
            url = f"{url}?{urlencode(params)}"
        if self._session is None:
            self._session = self._open()
        try:
            async with self._session.request(
                method,
                URL(url, encoded=True),
                headers=headers,
                data=data,
                server_hostname=self._settings.server_name,
                allow_redirects=False,
            ) as answer:
                if answer.status in _REDIRECTS:
                    raise ConsulRefused(self._redirected(answer))
                body = await read_body(answer)
        except BodyUnusable as error:
            raise ConsulUnavailable(f"The answer of Consul at {self._url} {error}.") from error
        except aiohttp.ClientConnectorCertificateError as error:
            raise ConsulRefused(self._certificate_untrusted(error)) from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            if "ALERT_BAD_CERTIFICATE" in str(error) or "CERTIFICATE_REQUIRED" in str(error):
                raise ConsulRefused(self._certificate_refused()) from error
            reason = _reason(error)
            raise ConsulUnavailable(f"Consul at {self._url} did not answer: {reason}.") from _without_headers(error)
        response = consul.base.Response(answer.status, answer.headers, body)
        large = len(body) > _LARGE_CHARACTERS
        return await asyncio.to_thread(callback, response) if large else callback(response)

    def _redirected(self, answer: aiohttp.ClientResponse) -> str:
        """The sentence for a redirect: where it goes, without what may be secret in that address."""
        try:
            target = URL(answer.headers.get("Location", ""))
            where = f" to {str(target.origin())!a}" if target.absolute else ""
        except ValueError:
            where = ""
        return (
            f"Consul at {self._url} redirects ({answer.status}){where}, and redirects are not followed, because the "
            "token would go along: name the agent's own address."
        )

    def _certificate_untrusted(self, error: aiohttp.ClientConnectorCertificateError) -> str:
        why = getattr(error.certificate_error, "verify_message", "") or error.certificate_error
        authority = self._settings.ca_file or "the system's authorities"
        return (
            f"The certificate of Consul at {self._url} cannot be trusted by {authority} ({why}): name the file of the "
            "authority that signed it in CONSUL_CACERT, and where it is made out to another name, that in "
            "CONSUL_TLS_SERVER_NAME."
        )

    def _certificate_refused(self) -> str:
        given = self._settings.cert_file
        fault = f"does not accept the certificate {given}" if given else "asks for a client's certificate"
        return (
            f"Consul at {self._url} {fault}: name one that its authority signed in CONSUL_CLIENT_CERT, and its key in "
            "CONSUL_CLIENT_KEY."
        )

    def _open(self) -> aiohttp.ClientSession:
        timeout = aiohttp.ClientTimeout(total=self._timeout_s, connect=5.0)
        auth = self._settings.auth
        headers = {"Accept-Encoding": "gzip"}
        if auth:
            headers["Authorization"] = f"Basic {b64encode(auth.encode()).decode()}"
        return aiohttp.ClientSession(
            connector=self._connector(), timeout=timeout, headers=headers, auto_decompress=False, trust_env=False
        )

    def _connector(self) -> aiohttp.BaseConnector:
        if self._url.startswith("unix://"):
            return aiohttp.UnixConnector(path=self._url.removeprefix("unix://"), limit=0)
        if self._url.startswith("https://"):
            return aiohttp.TCPConnector(ssl=self._tls(), limit=0)
        return aiohttp.TCPConnector(limit=0)

    def _tls(self) -> ssl.SSLContext:
        settings = self._settings
        try:
            context = ssl.create_default_context(cafile=settings.ca_file)
            if settings.cert_file:
                context.load_cert_chain(settings.cert_file, settings.key_file)
        except OSError as error:
            raise SettingsError(
                f"The certificates for Consul at {self._url} cannot be read ({error}): CONSUL_CACERT, "
                "CONSUL_CLIENT_CERT and CONSUL_CLIENT_KEY name PEM files, the key being that of the certificate."
            ) from error
        if not settings.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


def _without_headers(error: Exception) -> Exception:
    """The error without the headers of its request, which hold the token: a repr of the error would show them."""
    if isinstance(error, aiohttp.ClientResponseError):
        error.request_info = error.request_info._replace(headers=CIMultiDictProxy(CIMultiDict()))
        error.args = ()
    return error
