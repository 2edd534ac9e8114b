"""Persistent HTTP connections over raw sockets: whole requests are sent, the statuses of whole answers come back.

One epoll waits for all sockets. There are no event loop and no tasks, so that a request costs this process little more
than the system calls that carry it.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from types import TracebackType

LOST = 0
"""The status of a request without an answer: refused, reset, or not answered in time."""

_READ_BYTES = 64 << 10


@dataclass(frozen=True, slots=True)
class Target:
    """The address of a server, and whole HTTP requests that are sent to it one after the other, again and again."""

    port: int
    requests: tuple[bytes, ...]
    host: str = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Answer:
    """When a request was due, when its answer was complete (seconds of time.perf_counter), and its status."""

    due_s: float
    done_s: float
    status: int

    @property
    def ms(self) -> float:
        """Milliseconds from `due_s` to `done_s`."""
        return (self.done_s - self.due_s) * 1000


@dataclass(slots=True, eq=False)
class _Connection:
    """A connection that carries one request at a time.

    due_s:    when its request was due; None between two requests
    unsent:   the part of the request that is still to be sent
    blocked:  whether the socket takes no more for now
    received: the part of the answer that has come
    """

    socket: socket.socket
    due_s: float | None = None
    unsent: memoryview = field(default_factory=lambda: memoryview(b""))
    blocked: bool = False
    received: bytearray = field(default_factory=bytearray)


class Connections:
    """As many connections to `target` as requests were ever in flight at a time; use as a context manager."""

    def __init__(self, target: Target) -> None:
        self._address = (target.host, target.port)
        self._epoll = select.epoll()
        self._open: dict[int, _Connection] = {}
        self._idle: dict[int, _Connection] = {}
        self._done: list[Answer] = []
        self.in_flight = 0

    def __enter__(self) -> Connections:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        for connection in self._open.values():
            connection.socket.close()
        self._epoll.close()

    def send(self, request: bytes, *, due_s: float) -> None:
        """Send one request; `answers` will return its answer."""
        self.in_flight += 1
        connection = self._idle.popitem()[1] if self._idle else self._connect()
        connection.due_s, connection.unsent = due_s, memoryview(request)
        self._write(connection)

    def answers(self, *, within_s: float) -> Sequence[Answer]:
        """The answers that are complete; waits for the first one for `within_s`, to the millisecond."""
        for number, event in self._epoll.poll(0 if self._done else within_s):
            connection = self._open[number]
            if event & ~select.EPOLLOUT:
                self._receive(connection)
            else:
                self._write(connection)
        done, self._done = self._done, []
        return done

    def lost(self) -> Iterator[Answer]:
        """The requests that are still in flight, as lost at this moment."""
        now_s = time.perf_counter()
        return (Answer(one.due_s, now_s, LOST) for one in self._open.values() if one.due_s is not None)

    def _connect(self) -> _Connection:
        """A new connection, which may not be established yet."""
        made = socket.socket()
        made.setblocking(False)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        made.connect_ex(self._address)  # a failure shows at the first write
        connection = self._open[made.fileno()] = _Connection(made)
        self._epoll.register(made, select.EPOLLIN)
        return connection

    def _write(self, connection: _Connection) -> None:
        """Send as much as the socket takes; the rest follows when it takes more."""
        try:
            sent = connection.socket.send(connection.unsent)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._end(connection)
            return
        connection.unsent = connection.unsent[sent:]
        if bool(connection.unsent) != connection.blocked:
            connection.blocked = not connection.blocked
            room = select.EPOLLOUT if connection.blocked else 0
            self._epoll.modify(connection.socket, select.EPOLLIN | room)

    def _receive(self, connection: _Connection) -> None:
        try:
            data = connection.socket.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._end(connection)
            return
        connection.received += data
        status = complete_status(connection.received)
        if status is not None:
            closes = b"\r\nconnection: close" in connection.received.lower()
            self._finish(connection, status)
            if closes:
                self._close(connection)

    def _end(self, connection: _Connection) -> None:
        """The server has closed the connection, which may be the end of an answer."""
        self._finish(connection, complete_status(connection.received, closed=True) or LOST)
        self._close(connection)

    def _finish(self, connection: _Connection, status: int) -> None:
        connection.received.clear()
        if connection.due_s is not None:
            self._done.append(Answer(connection.due_s, time.perf_counter(), status))
            connection.due_s = None
            self.in_flight -= 1
            self._idle[connection.socket.fileno()] = connection

    def _close(self, connection: _Connection) -> None:
        number = connection.socket.fileno()
        self._idle.pop(number, None)
        del self._open[number]
        connection.socket.close()


def complete_status(received: bytes | bytearray, *, closed: bool = False) -> int | None:
    """The status of an HTTP/1.1 answer if all of it has been received, else None.

    Where the head gives no length, the body ends when the connection is `closed`. An answer of 100 Continue is passed
    over. A chunked body must end with an empty chunk and no trailer.
    """
    head, end, body = bytes(received).partition(b"\r\n\r\n")
    if not end:
        return None
    status = int(head[9:12])
    if status == 100:
        return complete_status(body, closed=closed)
    fields = dict(_fields(head))
    if fields.get(b"transfer-encoding") == b"chunked":
        return status if body.endswith(b"0\r\n\r\n") else None
    if b"content-length" in fields:
        return status if len(body) >= int(fields[b"content-length"]) else None
    return status if closed else None


def _fields(head: bytes) -> Iterator[tuple[bytes, bytes]]:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        yield name.strip().lower(), value.strip().lower()
