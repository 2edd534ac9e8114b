"""Runs several lookup processes behind one port: the kernel spreads connections over them, one that ends is replaced.

Each process is an ordinary lookup process that follows Consul by itself. The process that runs them holds the port, so
that no other program can take it while a process is being replaced; it accepts no connection itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Mapping, Sequence

from registry.runtime.listen import port_of, reserve
from registry.runtime.processes.children import ChildProcess
from registry.runtime.processes.sd_notify import NO_SYSTEMD, SystemdNotifier
from registry.runtime.tasks.race import finishes_first
from registry.runtime.tasks.supervise import supervised
from registry.runtime.tls.server import server_context
from registry.security.tickets.key_folder import KeyFolder
from registry.security.tokens.token_file_reader import watched_tokens
from registry.settings import RegistrySettings

logger = logging.getLogger(__name__)

PATIENCE_S = 5.0
"""How long a lookup process may take to end after SIGTERM."""

POLL_S = 0.1
"""Between two looks whether a lookup process listens."""

SHORT_LIFE_S = 2.0
"""A process that ended sooner than this would end again at once: its replacement starts after a pause as long."""


async def keep_running(
    command: Sequence[str],
    *,
    environ: Mapping[str, str],
    host: str,
    port: int,
    count: int,
    stop: asyncio.Event,
    notifier: SystemdNotifier = NO_SYSTEMD,
) -> None:
    """Run `count` processes of `command` (with `--port` and the port appended) in `environ` until `stop` is set.

    systemd, where it started this process, is told when the first of them listens, and when they are stopped.

    Raises SettingsError where the port cannot be bound.
    """
    with reserve(host, port) as held:
        with_port = [*command, "--port", str(port_of(held))]
        logger.info("%d lookup processes share port %d.", count, port_of(held))
        async with asyncio.TaskGroup() as group:
            for _ in range(count):
                group.create_task(_keep_one(with_port, environ, stop))
            group.create_task(_notify(notifier, host, port_of(held), stop))


async def _notify(notifier: SystemdNotifier, host: str, port: int, stop: asyncio.Event) -> None:
    """Tell systemd when a lookup process listens, feed its watchdog from then on, and tell it of the end."""
    if notifier.address and await finishes_first(_listens(host, port), stop.wait()):
        notifier.ready()
        async with supervised("feed systemd's watchdog", notifier.feed_watchdog):
            await stop.wait()
    notifier.stopping()


async def _listens(host: str, port: int) -> None:
    """Return when a connection to the port is accepted; the socket that reserves the port does not listen."""
    while True:
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection(host, port)
            writer.close()
            return
        await asyncio.sleep(POLL_S)


async def _keep_one(command: Sequence[str], environ: Mapping[str, str], stop: asyncio.Event) -> None:
    while not stop.is_set():
        started_s = time.monotonic()
        child = await ChildProcess.start(command, name="Lookup process", environ=environ)
        try:
            if not await finishes_first(child.ended(), stop.wait()):
                return
        finally:
            await child.stop(patience_s=PATIENCE_S)
        logger.error("%s (process %d): it is replaced.", child.outcome, child.pid)
        if time.monotonic() - started_s < SHORT_LIFE_S:
            await finishes_first(stop.wait(), timeout_s=SHORT_LIFE_S)


def check_files(settings: RegistrySettings) -> None:
    """Raise SettingsError where a file cannot be used with which every lookup process would end, and be replaced."""
    if settings.ticket_keys is not None:
        KeyFolder(settings.ticket_keys).load()
    if settings.access.tokens is not None:
        watched_tokens(settings.access.tokens)
    if settings.tls is not None:
        server_context(settings.tls)
    settings.checks.verification()
