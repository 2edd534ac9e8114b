"""A listening TCP socket, or an error that says who holds the port and what to do."""

from __future__ import annotations

import errno
import socket

from registry.errors import SettingsError

BACKLOG = 4096


def bind(host: str, port: int, *, flag: str = "--port") -> socket.socket:
    """A socket that listens on `host`:`port` (0: any free port), not yet accepting.

    Raises SettingsError where the address cannot be had.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except socket.gaierror as error:
        raise SettingsError(f"The host {host!r} cannot be found: {error.strerror}.") from error
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise SettingsError(_why(error, host, port, flag)) from error
    listener.setblocking(False)
    return listener


def port_of(listener: socket.socket) -> int:
    """The port that was really bound."""
    return int(listener.getsockname()[1])


def _why(error: OSError, host: str, port: int, flag: str) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} on {host} is taken by another program: stop it, or choose another with {flag}."
    if error.errno == errno.EACCES:
        return f"Port {port} may not be bound by this user: choose one above 1023 with {flag}."
    return f"{host}:{port} cannot be bound: {error.strerror}."
