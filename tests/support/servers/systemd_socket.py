"""The socket at which systemd listens to its services, for one process under test."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class SystemdSocket:
    """What was sent to `address` so far, in order."""

    def __init__(self, address: str, receiver: socket.socket) -> None:
        self.address = address
        self._receiver = receiver
        self._messages: list[str] = []

    @property
    def messages(self) -> list[str]:
        while True:
            try:
                self._messages.append(self._receiver.recv(4096).decode())
            except BlockingIOError:
                return self._messages

    def environ(self, *, watchdog_s: float) -> dict[str, str]:
        """What systemd gives to a process whose unit has Type=notify and this WatchdogSec=."""
        return {"NOTIFY_SOCKET": self.address, "WATCHDOG_USEC": str(int(watchdog_s * 1e6))}


@contextmanager
def systemd_socket(folder: Path) -> Iterator[SystemdSocket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(folder / "notify"))
        receiver.setblocking(False)
        yield SystemdSocket(str(folder / "notify"), receiver)
