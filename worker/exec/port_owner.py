"""Finds the process that listens on a port of this machine, from Linux's /proc; other systems show none."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

_LISTEN = "0A"


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that holds a listening socket; `started` counts the clock ticks from the boot to its start."""

    pid: int
    name: str
    started: int


def stranger_on(port: int, *, child: int, proc: Path = Path("/proc")) -> Holder | None:
    """A process that holds `port` and is older than process `child`, so no descendant of it; None if there is none.

    Younger processes count as the child's: the process that publishes a container's port is no descendant of
    `docker run` either. Where one of them shares the socket with an older process, there is no stranger.
    """
    born = _started(proc / str(child))
    holders = list(_holders(proc, set(_listeners(port, proc))))
    if born is None or any(holder.started >= born for holder in holders):
        return None
    return next(iter(holders), None)


def _listeners(port: int, proc: Path) -> Iterator[str]:
    """The inodes of the sockets that listen on the port in this network namespace."""
    for table in ("tcp", "tcp6"):
        try:
            lines = (proc / "net" / table).read_text().splitlines()[1:]
        except OSError:
            continue
        yield from listening_inodes(lines, port)


def listening_inodes(lines: Iterable[str], port: int) -> Iterator[str]:
    """The inodes of the sockets listening on `port`, from the lines of /proc/net/tcp (proc(5))."""
    for line in lines:
        _, local, _, state, _, _, _, _, _, inode, *_ = line.split()
        if state == _LISTEN and int(local.rpartition(":")[2], 16) == port:
            yield inode


def _holders(proc: Path, inodes: set[str]) -> Iterator[Holder]:
    """The processes that hold one of these sockets, of those that this user may look at."""
    targets = {f"socket:[{inode}]" for inode in inodes}
    for folder in proc.glob("[0-9]*") if targets else ():
        try:
            holds = any(str(fd.readlink()) in targets for fd in (folder / "fd").iterdir())
            name = (folder / "comm").read_text().strip()
        except OSError:  # it ended meanwhile, or is another user's
            continue
        started = _started(folder)
        if holds and started is not None:
            yield Holder(int(folder.name), name, started)


def _started(folder: Path) -> int | None:
    """Field 22 of /proc/PID/stat (proc(5)); the name in field 2 may hold blanks and brackets."""
    try:
        return int((folder / "stat").read_text().rpartition(")")[2].split()[19])
    except OSError:
        return None
