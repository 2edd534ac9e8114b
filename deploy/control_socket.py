"""The Unix socket through which `p2p scale` reaches a running `p2p up`: one request, one answer for each connection.

The socket belongs to the user (mode 0600) and lies in the state folder, one for each lookup port. A request is a line
`scale N`; the answer is a line `ok SENTENCE` or `error SENTENCE`.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from registry.runtime.errors import SettingsError
from registry.runtime.tasks.supervise import cancel_all

WORKERS_AT_MOST = 1000

_LINE_AT_MOST_BYTES = 1024
_PATH_AT_MOST_BYTES = 100  # of the 108 that Linux has for the address of a socket, and the 104 of macOS
_REQUEST_S = 5.0
"""How long a connection may take to send its request."""

Scale = Callable[[int], Awaitable[str]]
"""Changes the number of workers; a sentence that says what is so now. Raises SettingsError."""


def control_path(environ: Mapping[str, str], port: int) -> Path:
    """Where the socket of the `p2p up` with this lookup port is."""
    home = environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(home) / "p2p-serving" / f"up-{port}.sock"


@asynccontextmanager
async def accepting_control(path: Path, scale: Scale) -> AsyncIterator[None]:
    """Answer at `path` while the context is open. Raises SettingsError where no socket can be made there."""
    if len(os.fsencode(path)) > _PATH_AT_MOST_BYTES:
        raise SettingsError(f"{path} is too long for a socket: name a shorter folder in XDG_STATE_HOME.")
    try:
        listener = _bound(path)
    except OSError as error:
        raise SettingsError(f"The socket {path} cannot be made: {error.strerror}.") from error

    answering: set[asyncio.Task[None]] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(_answer(reader, writer, scale), name="answer p2p scale")
        answering.add(task)
        task.add_done_callback(answering.discard)

    server = await asyncio.start_unix_server(connected, sock=listener, limit=_LINE_AT_MOST_BYTES)
    try:
        yield
    finally:
        server.close()
        _remove(path)
        await cancel_all(*answering)


def _bound(path: Path) -> socket.socket:
    """A socket at `path` that nobody but this user could ever connect to."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove(path)  # the lookup port is ours, so an earlier process has left it behind
    listener = socket.socket(socket.AF_UNIX)
    try:
        with suppress(OSError):  # on Linux the file that bind makes has this mode from the start
            os.fchmod(listener.fileno(), 0o600)
        listener.bind(str(path))
        path.chmod(0o600)  # elsewhere it is set a moment later
    except BaseException:
        listener.close()
        raise
    return listener


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, scale: Scale) -> None:
    try:
        async with asyncio.timeout(_REQUEST_S):
            request = await reader.readline()
        said = await _outcome(request.decode(errors="replace").split(), scale)
        writer.write(f"{said}\n".encode())
        await writer.drain()
    except (TimeoutError, ValueError, ConnectionError):  # asyncio raises ValueError for a line that is too long
        pass
    finally:
        writer.close()


async def _outcome(words: list[str], scale: Scale) -> str:
    try:
        return f"ok {await scale(_count_asked(words))}"
    except (SettingsError, OSError) as error:
        return f"error {error}"


def _count_asked(words: list[str]) -> int:
    """The number of workers that a request asks for. Raises SettingsError where it is no request."""
    match words:
        case ["scale", number] if number.isdecimal() and 1 <= int(number) <= WORKERS_AT_MOST:
            return int(number)
    raise SettingsError(f"{' '.join(words)!a} cannot be done: send scale and a number from 1 to {WORKERS_AT_MOST}.")


async def ask_to_scale(path: Path, count: int) -> str:
    """Have the `p2p up` at `path` run `count` workers; what it says when they serve. Raises SettingsError."""
    try:
        reader, writer = await asyncio.open_unix_connection(str(path))
    except OSError as error:
        raise SettingsError(
            f"No p2p up of this user answers at {path} ({error.strerror}): start it, or name its --port."
        ) from error
    try:
        writer.write(f"scale {count}\n".encode())
        said = (await reader.read()).decode(errors="replace").strip()
    except ConnectionError:
        said = ""
    finally:
        writer.close()
    outcome, _, sentence = said.partition(" ")
    if outcome != "ok":
        raise SettingsError(sentence or "p2p up has ended before it answered.")
    return sentence
