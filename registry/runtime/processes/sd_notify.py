"""Tells systemd how a process fares, as sd_notify(3) does: it is ready, it is stopping, and its work moves.

systemd ends and restarts a service whose unit sets WatchdogSec= and which is silent for that long.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass

logger = logging.getLogger(__name__)

_VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")


@dataclass(frozen=True, slots=True)
class SystemdNotifier:
    """Sends to systemd's socket at `address`; sends nothing where there is none.

    `watchdog_s` is the longest silence that the unit allows, None where it sets no watchdog.
    """

    address: str = ""
    watchdog_s: float | None = None

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> SystemdNotifier:
        """What systemd gave to this process; a watchdog that is meant for another process is not fed."""
        microseconds, pid = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
        own = microseconds.isdecimal() and int(microseconds) > 0 and pid in ("", str(os.getpid()))
        return cls(environ.get("NOTIFY_SOCKET", ""), int(microseconds) / 1e6 if own else None)

    def ready(self) -> None:
        """Say that the process serves: units that are ordered after it start, and the watchdog begins."""
        self._send("READY=1")

    def stopping(self) -> None:
        """Say that the process ends because it was asked to."""
        self._send("STOPPING=1")

    async def feed_watchdog(self, moving: Callable[[], bool] = lambda: True) -> None:
        """Feed the watchdog from the event loop while `moving()` is true; returns where there is no watchdog."""
        if not self.address or self.watchdog_s is None:
            return
        while True:
            if moving():
                self._send("WATCHDOG=1")
            await asyncio.sleep(self.watchdog_s / 3)

    def _send(self, message: str) -> None:
        if not self.address:
            return
        # A name that starts with @ is in Linux's abstract namespace, which the system call spells with a null.
        address = "\0" + self.address[1:] if self.address.startswith("@") else self.address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.setblocking(False)
                sender.sendto(message.encode(), address)
        except OSError as error:
            logger.warning("systemd was not told %s: %s.", message, error.strerror or error)


NO_SYSTEMD = SystemdNotifier()
"""For a process that systemd did not start."""


def without_systemd(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment of a child process that does not speak for the whole service."""
    return {name: value for name, value in environ.items() if name not in _VARIABLES}
