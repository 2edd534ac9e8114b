"""The HTTP session of the checks, with the certificates that it trusts and shows: changed files give a new session."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp

from registry.agent.checks.probes import open_session
from registry.runtime.file_watch import WatchedFiles
from registry.runtime.tasks.supervise import supervised
from registry.runtime.tls.trust import TrustFiles


class ProbeSessions:
    """Sessions that trust and show what is in the files of `trust`. Raises SettingsError where a file is unusable."""

    def __init__(self, trust: TrustFiles) -> None:
        named = ", ".join(str(path) for path in trust.paths)
        self.files: WatchedFiles[ssl.SSLContext | bool] = WatchedFiles(
            trust.paths, trust.verification, what=f"What checks of workers trust and show, in {named},"
        )
        self._session: aiohttp.ClientSession | None = None
        self._earlier: list[aiohttp.ClientSession] = []  # checks may still use them; they keep no connection open
        self.files.on_change.append(self._retire)

    def current(self) -> aiohttp.ClientSession:
        """The session for the next check."""
        if self._session is None:
            self._session = open_session(self.files.value)
        return self._session

    async def close(self) -> None:
        """Close all sessions."""
        self._retire()
        for session in self._earlier:
            await session.close()

    def _retire(self) -> None:
        if self._session is not None:
            self._earlier.append(self._session)
            self._session = None


@asynccontextmanager
async def probe_sessions(trust: TrustFiles) -> AsyncIterator[ProbeSessions]:
    """Sessions whose files are followed while the context is open. Raises SettingsError where a file is unusable."""
    sessions = ProbeSessions(trust)
    try:
        if not trust.paths:
            yield sessions
            return
        async with supervised("read changed certificates of checks", sessions.files.follow):
            yield sessions
    finally:
        await sessions.close()
