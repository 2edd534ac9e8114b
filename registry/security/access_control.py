"""Decides for the ports of one process which requests are answered: tokens, quotas, host names, origins of pages."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager

from registry.runtime.file_watch import WatchedFiles
from registry.runtime.tasks.supervise import supervised
from registry.security.access import AccessDenied, caller_of, check_role
from registry.security.access_settings import AccessSettings
from registry.security.browsers.cors import Origins
from registry.security.browsers.host_names import HostNames
from registry.security.caller import Caller, Role
from registry.security.quota import Quotas
from registry.security.tokens.token_file import Tokens
from registry.security.tokens.token_file_reader import watched_tokens

logger = logging.getLogger(__name__)


class AccessControl:
    """Who may ask what at the ports of this process; without arguments everybody may ask everything."""

    def __init__(
        self,
        *,
        tokens: WatchedFiles[Tokens] | None = None,
        hosts: HostNames | None = None,
        origins: Origins | None = None,
        quotas: Quotas | None = None,
    ) -> None:
        self._tokens = tokens
        self._hosts = hosts
        self.origins = origins or Origins()
        self.quotas = quotas or Quotas()

    @property
    def restricted(self) -> bool:
        """Whether tokens are asked for."""
        return self._tokens is not None

    @property
    def checks_hosts(self) -> bool:
        """Whether `check_host` refuses any name."""
        return self._hosts is not None

    def caller(self, headers: Mapping[str, str], role: Role) -> Caller:
        """Who sends a request with these headers, for which `role` is needed. Raises AccessDenied (401, 403)."""
        caller = caller_of(self._tokens.value if self._tokens else None, headers.get("Authorization"))
        check_role(caller, role)
        return caller

    def known_caller(self, headers: Mapping[str, str], role: Role) -> Caller | None:
        """As `caller`, at a path that is open to all; None for one to whom no details are told."""
        try:
            return self.caller(headers, role)
        except AccessDenied:
            return None

    def check_host(self, headers: Mapping[str, str]) -> None:
        """Raise AccessDenied (421) where the Host header is not a name of this server."""
        if self._hosts is not None:
            self._hosts.check(headers.get("Host"))

    def count(self, caller: Caller) -> None:
        """Count a request of the caller. Raises OverQuota."""
        if caller.quota.rate_hz is not None:
            self.quotas.take(caller, now_s=time.monotonic())

    def check_quota(self, caller: Caller) -> None:
        """Raise OverQuota where `count` would; counts nothing."""
        if caller.quota.rate_hz is not None:
            self.quotas.check(caller, now_s=time.monotonic())

    def when_tokens_change(self, call: Callable[[], None]) -> None:
        """Call this after each change of the tokens: what was decided before may no longer hold."""
        if self._tokens is not None:
            self._tokens.on_change.append(call)


@asynccontextmanager
async def access_control(
    settings: AccessSettings, *, hosts: Iterable[str] = (), places: int = 0
) -> AsyncIterator[AccessControl]:
    """The access control of a process that is known as `hosts`; the token file is followed while the context is open.

    `places` is how many images a worker may hold. Raises SettingsError where the token file cannot be used.
    """
    origins, quotas = Origins(settings.cors_origins), Quotas(places=places)
    if settings.tokens is None:
        yield AccessControl(origins=origins, quotas=quotas)
        return
    tokens = watched_tokens(settings.tokens)
    names = await asyncio.to_thread(_own_names)
    logger.info("Tokens are asked for; these callers have one: %s.", ", ".join(sorted(tokens.value.names)))
    async with supervised("follow the token file", tokens.follow):
        known = HostNames({*names, *hosts, *settings.allowed_hosts})
        yield AccessControl(tokens=tokens, hosts=known, origins=origins, quotas=quotas)


def _own_names() -> frozenset[str]:
    """This machine's name, and its fully qualified one; may ask DNS, and so take seconds."""
    return frozenset({socket.gethostname(), socket.getfqdn()})
