"""Asks lookup services: GET requests with the token and over TLS as a client would send them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp

from registry.runtime.tls.trust import TrustFiles, verification_fault

TIMEOUT_S = 5.0


class LookupFailed(Exception):
    """A lookup service did not answer as one does; a clause says why, `status` what it answered (0: nothing)."""

    def __init__(self, why: str, *, status: int = 0) -> None:
        super().__init__(why)
        self.status = status


class LookupClient:
    """Requests to the lookup services at `urls`. Raises SettingsError where a file of `trust` cannot be used."""

    def __init__(self, urls: Sequence[str], trust: TrustFiles, token: str | None) -> None:
        self.urls = urls
        headers = {"Accept": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=trust.verification()),
            timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
            headers=headers,
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()

    async def text(self, url: str, path: str) -> str:
        """The text of a 200. Raises LookupFailed."""
        _, text = await self._get(url, path)
        return text

    async def json(self, url: str, path: str) -> Any:
        """The JSON of a 200. Raises LookupFailed."""
        try:
            async with self._session.get(f"{url}{path}") as answer:
                if answer.status == 200:
                    return await answer.json(content_type=None)
                raise LookupFailed(_said(answer.status, await answer.text()), status=answer.status)
        except ValueError as error:
            raise LookupFailed("its answer is not JSON") from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise LookupFailed(_why(error)) from error

    async def stale_s(self, url: str, service: str) -> float:
        """For how many seconds the lookup service has not been able to confirm what it answers. Raises LookupFailed."""
        headers, _ = await self._get(url, f"/instances/{service}")
        return float(headers.get("X-Registry-Stale", 0))

    async def time_s(self, url: str) -> float:
        """The clock of the lookup service's host, in whole seconds since 1970. Raises LookupFailed."""
        headers, _ = await self._get(url, "/healthz")
        try:
            return parsedate_to_datetime(headers["Date"]).timestamp()
        except (KeyError, ValueError) as error:
            raise LookupFailed("its answer has no Date") from error

    async def _get(self, url: str, path: str) -> tuple[dict[str, str], str]:
        try:
            async with self._session.get(f"{url}{path}") as answer:
                text = await answer.text()
                if answer.status != 200:
                    raise LookupFailed(_said(answer.status, text), status=answer.status)
                return dict(answer.headers), text
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise LookupFailed(_why(error)) from error


def _said(status: int, text: str) -> str:
    return f"it answered {status}: {' '.join(text.split())[:200]}"


def _why(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"its certificate is not trusted: {verification_fault(error.certificate_error)}"
    if isinstance(error, aiohttp.ClientConnectorError) and (error.os_error.errno or 0) > 0:
        return os.strerror(error.os_error.errno or 0).lower()
    return "no answer in time" if isinstance(error, TimeoutError) else str(error) or type(error).__name__
