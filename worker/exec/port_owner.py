"""Which process listens on a port of this machine, from Linux's /proc; on other systems no process is found.

psutil names only one of several processes that share a socket (decision 17), and a shared one is what is decided on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

_LISTEN = "0A"


@dataclass(frozen=True, slots=True)
class PortOwner:
    """A process that holds a listening socket; `started` is its start in clock ticks since the system's boot."""

    pid: int
    name: str
    started: int


def older_owner(port: int, *, child: int, proc: Path = Path("/proc")) -> PortOwner | None:
    """A process that holds `port` and is older than process `child`, so that it cannot come from it; else None.

    Younger processes are accepted, descendants or not: the process that publishes a container's port is no
    descendant of `docker run` either. A younger process that shares the socket with an older one clears the port.
    """
    born = _started(proc / str(child))
    holders = list(_holders(proc, set(_listeners(port, proc))))
    if born is None or any(holder.started >= born for holder in holders):
        return None
    return next(iter(holders), None)


def _listeners(port: int, proc: Path) -> Iterator[str]:
    """The inodes of the sockets that listen on the port, in this network namespace."""
    for table in ("tcp", "tcp6"):
        try:
            lines = (proc / "net" / table).read_text().splitlines()[1:]
        except OSError:
            continue
        yield from listening_inodes(lines, port)


def listening_inodes(lines: Iterable[str], port: int) -> Iterator[str]:
    """The inodes in the lines of /proc/net/tcp (proc(5)) that stand for a socket listening on `port`."""
    for line in lines:
        _, local, _, state, _, _, _, _, _, inode, *_ = line.split()
        if state == _LISTEN and int(local.rpartition(":")[2], 16) == port:
            yield inode


def _holders(proc: Path, inodes: set[str]) -> Iterator[PortOwner]:
    """The processes that hold one of these sockets, as far as this process may see them."""
    targets = {f"socket:[{inode}]" for inode in inodes}
    for folder in proc.glob("[0-9]*") if targets else ():
        try:
            holds = any(str(fd.readlink()) in targets for fd in (folder / "fd").iterdir())
            name = (folder / "comm").read_text().strip()
        except OSError:  # it has ended meanwhile, or belongs to another user
            continue
        started = _started(folder)
        if holds and started is not None:
            yield PortOwner(int(folder.name), name, started)


def _started(folder: Path) -> int | None:
    """Field 22 of /proc/PID/stat (proc(5)); the name in field 2 may hold blanks and brackets."""
    try:
        return int((folder / "stat").read_text().rpartition(")")[2].split()[19])
    except OSError:
        return None
