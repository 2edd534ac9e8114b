"""Kept HTTP connections over raw sockets and one epoll: ready-made requests out, the statuses of whole answers in.

No event loop, no tasks: a request costs the machine little more than the system calls that carry it.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from types import TracebackType

LOST = 0
"""The status of a request that got no answer: refused, reset, or not answered before the end of patience."""

_READ_BYTES = 64 << 10


@dataclass(frozen=True, slots=True)
class Target:
    """A server on this machine, and whole HTTP requests that are sent to it in turn."""

    port: int
    requests: tuple[bytes, ...]
    host: str = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Answer:
    """When a request was due and when its answer was complete (seconds of one monotonic clock), and its status."""

    due_s: float
    done_s: float
    status: int

    @property
    def ms(self) -> float:
        """Milliseconds from due to done."""
        return (self.done_s - self.due_s) * 1000


@dataclass(slots=True, eq=False)
class _Connection:
    """One request at a time: what of it is still to be sent, and what of its answer has come.

    due_s:   None between two requests
    blocked: whether the socket takes no more for now
    """

    socket: socket.socket
    due_s: float | None = None
    unsent: memoryview = field(default_factory=lambda: memoryview(b""))
    blocked: bool = False
    got: bytearray = field(default_factory=bytearray)


class Connections:
    """As many connections to `target` as requests are under way, kept for later ones; use as a context manager."""

    def __init__(self, target: Target) -> None:
        self._address = (target.host, target.port)
        self._epoll = select.epoll()
        self._open: dict[int, _Connection] = {}
        self._idle: dict[int, _Connection] = {}
        self._done: list[Answer] = []
        self.under_way = 0

    def __enter__(self) -> Connections:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        for connection in self._open.values():
            connection.socket.close()
        self._epoll.close()

    def ask(self, request: bytes, *, due_s: float) -> None:
        """Send one request; its answer is among those that `answered` gives some time."""
        self.under_way += 1
        connection = self._idle.popitem()[1] if self._idle else self._connected()
        connection.due_s, connection.unsent = due_s, memoryview(request)
        self._send(connection)

    def answered(self, *, within_s: float) -> Sequence[Answer]:
        """The answers that are complete, waited for so long; good to a millisecond."""
        for number, event in self._epoll.poll(0 if self._done else within_s):
            connection = self._open[number]
            if event & ~select.EPOLLOUT:
                self._receive(connection)
            else:
                self._send(connection)
        done, self._done = self._done, []
        return done

    def lost(self) -> Iterator[Answer]:
        """What is still under way, as lost now."""
        now_s = time.perf_counter()
        return (Answer(one.due_s, now_s, LOST) for one in self._open.values() if one.due_s is not None)

    def _connected(self) -> _Connection:
        """A new one, which may still be on its way to be connected."""
        made = socket.socket()
        made.setblocking(False)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        made.connect_ex(self._address)  # a failure shows when it is written to
        connection = self._open[made.fileno()] = _Connection(made)
        self._epoll.register(made, select.EPOLLIN)
        return connection

    def _send(self, connection: _Connection) -> None:
        """As much as goes; the rest when there is room."""
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
        connection.got += data
        status = complete_status(connection.got)
        if status is not None:
            closes = b"\r\nconnection: close" in connection.got.lower()
            self._finish(connection, status)
            if closes:
                self._close(connection)

    def _end(self, connection: _Connection) -> None:
        """The server has closed it, which may be the end of an answer."""
        self._finish(connection, complete_status(connection.got, closed=True) or LOST)
        self._close(connection)

    def _finish(self, connection: _Connection, status: int) -> None:
        connection.got.clear()
        if connection.due_s is not None:
            self._done.append(Answer(connection.due_s, time.perf_counter(), status))
            connection.due_s = None
            self.under_way -= 1
            self._idle[connection.socket.fileno()] = connection

    def _close(self, connection: _Connection) -> None:
        number = connection.socket.fileno()
        self._idle.pop(number, None)
        del self._open[number]
        connection.socket.close()


def complete_status(got: bytes | bytearray, *, closed: bool = False) -> int | None:
    """The status of an HTTP/1.1 answer if all of it is there; `closed` ends a body that says no length.

    100 Continue is no answer. Chunked bodies end with an empty chunk and no trailer.
    """
    head, end, body = bytes(got).partition(b"\r\n\r\n")
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
