"""Starts everything as a user does, with `p2p up` and the real model."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from registry.runtime.processes.parent_death import die_with_parent
from tests.support import photos
from tests.support.command_process import children_of, free_port

START_S = 110.0


class Fleet:
    """A running `p2p up`: its lines, its children, and ways to ask it."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self.process = process
        self.port = port
        self.registry = f"127.0.0.1:{port}"
        self.lines: list[str] = []
        self._ready: queue.Queue[bool] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def wait_until_ready(self) -> None:
        """Return when it has printed what to try; fail with its output where it does not."""
        try:
            ready = self._ready.get(timeout=START_S)
        except queue.Empty:
            ready = False
        assert ready, "\n".join(self.lines)

    def get(self, path: str) -> str:
        with urllib.request.urlopen(f"http://{self.registry}{path}", timeout=10) as answer:
            return str(answer.read().decode())

    def instances(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.get("/instances/classify"))["instances"]
        return found

    def serving(self) -> set[str]:
        """The addresses that are handed out now."""
        return set(self.get("/next?count=100").split())

    def pid_of(self, address: str) -> int:
        """The process that listens at an address of this fleet."""
        port = int(address.rpartition(":")[2])
        for pid in children_of(self.process.pid):
            if port in listening_ports(pid):
                return pid
        raise AssertionError(f"nobody listens at {address}")

    def curl(self, *arguments: str) -> str:
        done = subprocess.run(
            ["curl", "-sS", "--max-time", "20", *arguments], capture_output=True, text=True, timeout=30
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def interrupt(self) -> int:
        """Ctrl-C; the exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(30)

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip())
            if line.startswith("Ctrl-C stops"):
                self._ready.put(True)
        self._ready.put(False)


def listening_ports(pid: int) -> set[int]:
    """The TCP ports that a process listens on."""
    sockets = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            sockets.add(os.readlink(entry))
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {int(row[1].partition(":")[2], 16) for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in sockets}


@contextlib.contextmanager
def up(*arguments: str) -> Iterator[Fleet]:
    """`p2p up ARGUMENTS` on a port of its own; killed at the end, its children with it, if it still runs."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "p2pclient", "up", "--verbose", "--port", str(port), *arguments],
        env={k: v for k, v in os.environ.items() if not k.startswith(("P2P_", "CONSUL_"))},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=die_with_parent(signal.SIGTERM),
    )
    try:
        fleet = Fleet(process, port)
        fleet.wait_until_ready()
        yield fleet
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait(60)
        assert process.stdout is not None
        process.stdout.close()


@pytest.fixture
def photo(tmp_path: Path) -> Callable[[str], Path]:
    """A test photo as a JPEG file."""

    def write(name: str) -> Path:
        path = tmp_path / f"{name}.jpg"
        path.write_bytes(getattr(photos, f"{name}_jpeg")())
        return path

    return write


def eventually(condition: Callable[[], bool], *, within_s: float) -> None:
    """Wait until a condition holds; AssertionError where it does not in time."""
    end_s = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end_s, f"not within {within_s:g} s"
        time.sleep(0.05)
