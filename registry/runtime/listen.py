"""A listening TCP socket, or an error that says who holds the port and what to do."""

from __future__ import annotations

import errno
import socket

from registry.runtime.errors import SettingsError

BACKLOG = 4096


def bind(host: str, port: int, *, flag: str = "--port", shared: bool = False) -> socket.socket:
    """A socket that listens on `host`:`port` (0: any free port), not yet accepting.

    `shared` lets other processes of this user listen on the same port, and the kernel deals connections out
    (SO_REUSEPORT). Raises SettingsError where the address cannot be had.
    """
    listener = _bound(host, port, flag=flag, shared=shared)
    listener.listen(BACKLOG)
    return listener


def reserve(host: str, port: int) -> socket.socket:
    """A socket that holds `host`:`port` for processes that will share it, and listens itself to nobody.

    Raises SettingsError where the address cannot be had.
    """
    if port:
        bind(host, port).close()  # a port that others share already is taken, too
    return _bound(host, port, flag="--port", shared=True)


def _bound(host: str, port: int, *, flag: str, shared: bool) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except socket.gaierror as error:
        raise SettingsError(f"The host {host!r} cannot be found: {error.strerror}.") from error
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(address)
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
