"""Who listens on a port: read from a folder with the shape of Linux's /proc."""

from __future__ import annotations

from pathlib import Path

from worker.exec.port_owner import PortOwner, listening_inodes, older_owner

PORT, CHILD = 20001, 500
HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode"


def line(inode: int, *, port: int = PORT, state: str = "0A", address: str = "0100007F") -> str:
    rest = "00000000:0000 {} 00000000:00000000 00:00000000 00000000  1000        0 {} 1 0000 100 0 0 10 0"
    return f"   0: {address}:{port:04X} " + rest.format(state, inode)


def process(proc: Path, pid: int, *, started: int, sockets: tuple[int, ...] = (), name: str = "any") -> None:
    folder = proc / str(pid)
    (folder / "fd").mkdir(parents=True)
    (folder / "comm").write_text(f"{name}\n")
    (folder / "stat").write_text(f"{pid} ({name}) S " + "0 " * 18 + f"{started} 0 0\n")
    for number, inode in enumerate(sockets):
        (folder / "fd" / str(number)).symlink_to(f"socket:[{inode}]")


def machine(proc: Path, *lines: str) -> Path:
    """A /proc whose sockets are `lines`, with a child that started at tick 100."""
    (proc / "net").mkdir()
    (proc / "net" / "tcp").write_text("\n".join((HEAD, *lines)) + "\n")
    (proc / "net" / "tcp6").write_text(f"{HEAD}\n")
    return proc


def test_only_listening_sockets_of_the_port_count() -> None:
    """Connections on the port and listeners on others are no listeners on it; IPv6 ones are."""
    lines = [
        line(1),
        line(2, port=20002),
        line(3, state="01"),
        line(4, address="00000000000000000000000001000000"),
    ]
    assert list(listening_inodes(lines, PORT)) == ["1", "4"]


def test_an_older_process_is_reported(tmp_path: Path) -> None:
    """Whoever was there before the child cannot come from it."""
    proc = machine(tmp_path, line(7))
    process(proc, CHILD, started=100)
    process(proc, 400, started=99, sockets=(6, 7), name="a (b) c")
    assert older_owner(PORT, child=CHILD, proc=proc) == PortOwner(400, "a (b) c", 99)


def test_the_child_and_younger_processes_are_accepted(tmp_path: Path) -> None:
    """The child itself, and what started after it, are its own: who publishes a container's port is younger."""
    proc = machine(tmp_path, line(7), line(8, port=20002))
    process(proc, CHILD, started=100, sockets=(7,))
    process(proc, 501, started=130, sockets=(8,))
    assert older_owner(PORT, child=CHILD, proc=proc) is None
    assert older_owner(20002, child=CHILD, proc=proc) is None


def test_a_socket_shared_with_the_child_is_its_own(tmp_path: Path) -> None:
    """An older process that holds the socket as well, such as one that handed it down, makes no stranger."""
    proc = machine(tmp_path, line(7))
    process(proc, CHILD, started=100, sockets=(7,))
    process(proc, 400, started=99, sockets=(7,))
    assert older_owner(PORT, child=CHILD, proc=proc) is None


def test_without_visible_owners_the_port_is_the_childs(tmp_path: Path) -> None:
    """No listener, a listener whose process may not be looked at, no child, no /proc: no verdict."""
    proc = machine(tmp_path, line(7), line(8, port=20002))
    process(proc, 400, started=99, sockets=(8,))
    assert older_owner(20002, child=CHILD, proc=proc) is None  # the child has ended
    process(proc, CHILD, started=100)
    assert older_owner(PORT, child=CHILD, proc=proc) is None
    assert older_owner(20003, child=CHILD, proc=proc) is None
    assert older_owner(PORT, child=CHILD, proc=tmp_path / "none") is None
