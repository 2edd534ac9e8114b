"""Opens listening TCP sockets; where a port cannot be had, the error says why and what to do."""

from __future__ import annotations

import errno
import socket

from registry.runtime.errors import SettingsError

BACKLOG = 4096


def bind(host: str, port: int, *, flag: str = "--port", shared: bool = False) -> socket.socket:
    """A socket that listens on `host`:`port` (0: any free port) and does not accept yet.

    `shared` lets other processes of this user listen on the same port; the kernel spreads connections over them
    (SO_REUSEPORT). `flag` is the command's flag for the port, named in errors. Raises SettingsError where the
    address cannot be bound.
    """
    listener = _bound(host, port, flag=flag, shared=shared)
    listener.listen(BACKLOG)
    return listener


def reserve(host: str, port: int) -> socket.socket:
    """A socket that keeps `host`:`port` for processes that will share it, and does not listen itself.

    Raises SettingsError where the address cannot be bound.
    """
    if port:
        bind(host, port).close()  # without SO_REUSEPORT, so that a port which others share already is refused, too
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
        raise SettingsError(_sentence(error, host, port, flag)) from error
    listener.setblocking(False)
    return listener


def port_of(listener: socket.socket) -> int:
    """The number of the port that was bound, also where port 0 was asked for."""
    return int(listener.getsockname()[1])


def _sentence(error: OSError, host: str, port: int, flag: str) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} on {host} is taken by another program: stop it, or choose another with {flag}."
    if error.errno == errno.EACCES:
        return f"Port {port} may not be bound by this user: choose one above 1023 with {flag}."
    return f"{host}:{port} cannot be bound: {error.strerror}."
