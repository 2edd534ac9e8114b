"""Real ZooKeeper servers in processes of their own, for tests: Debian's package, each server with a folder and ports.

A server can be killed, stopped for a while (SIGSTOP) and started again with the same ports and data. All calls block
for up to a few seconds; from async tests go through `asyncio.to_thread`.
"""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from registry.zookeeper import session
from registry.zookeeper.settings import ZooKeeperSettings
from tests.support.command_process import free_port

JAR = Path("/usr/share/java/zookeeper.jar")

_LOGGING = Path("/usr/share/java/slf4j-simple.jar")
"""With it, where it is installed, the servers write why they do not start."""

_READY_S = 40.0

_JAVA = (
    # The servers of a test are small, and are to start quickly.
    *("-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"),
    *("-Dzookeeper.admin.enableServer=false", "-Dzookeeper.jmx.log4j.disable=true"),
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
)

_SETTINGS = """\
tickTime=500
initLimit=60
syncLimit=20
minSessionTimeout=1000
maxSessionTimeout=60000
maxClientCnxns=0
4lw.commands.whitelist=srvr
clientPortAddress=127.0.0.1
"""
"""Servers that live keep together on a busy machine, too, and sessions may be as long or short as a test needs."""

_JAAS = "Server {{ org.apache.zookeeper.server.auth.DigestLoginModule required {users}; }};\n"


def missing() -> str:
    """What is missing to run ZooKeeper here, in a clause; "" where nothing is."""
    if shutil.which("java") is None:
        return "there is no java (Debian: apt-get install default-jre-headless)"
    return "" if JAR.exists() else f"{JAR} does not exist (Debian: apt-get install zookeeper)"


class Server:
    """One server, `folder` holding its data, settings and log (`zookeeper.log`)."""

    def __init__(self, folder: Path, number: int, users: Mapping[str, str]) -> None:
        self.port = free_port()
        self.peer_ports = free_port(), free_port()
        self._folder = folder
        self._number = number
        self._users = users
        self._process: subprocess.Popen[bytes] | None = None

    def launch(self, peers: Sequence[str]) -> None:
        """Start the process, of an ensemble of these peers, or of its own."""
        data = self._folder / "data"
        data.mkdir(parents=True, exist_ok=True)
        (data / "myid").write_text(f"{self._number}\n")
        lines = [f"dataDir={data}", f"clientPort={self.port}", *peers]
        java = [*_JAVA]
        if self._users:
            users = " ".join(f'user_{name}="{password}"' for name, password in self._users.items())
            jaas = self._folder / "jaas.conf"
            jaas.write_text(_JAAS.format(users=users))
            java.append(f"-Djava.security.auth.login.config={jaas}")
            lines.append("authProvider.1=org.apache.zookeeper.server.auth.SASLAuthenticationProvider")
        settings = self._folder / "zoo.cfg"
        settings.write_text(_SETTINGS + "\n".join(lines) + "\n")
        main = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
        with (self._folder / "zookeeper.log").open("ab") as log:
            self._process = subprocess.Popen(
                ["java", *java, "-cp", f"{JAR}:{_LOGGING}", main, str(settings)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    @property
    def running(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """kill -9."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """Stop the process where it is: its connections stay open and say nothing."""
        self._send(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let the process run on, if it runs at all."""
        if self.running:
            self._send(signal.SIGCONT)

    def wipe(self) -> None:
        """Lose all data; it is not running."""
        shutil.rmtree(self._folder / "data")

    @property
    def mode(self) -> str:
        """What it says of itself: standalone, leader or follower; "" while it serves nobody."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(b"srvr")
                said = b"".join(iter(lambda: connection.recv(4096), b"")).decode()
        except OSError:
            return ""
        modes = [line.partition(": ")[2] for line in said.splitlines() if line.startswith("Mode: ")]
        return modes[0] if modes else ""

    @property
    def log_end(self) -> str:
        """The last lines of its log."""
        return (self._folder / "zookeeper.log").read_text(errors="replace")[-2000:]

    def _send(self, number: signal.Signals) -> None:
        assert self._process is not None, "start it first"
        self._process.send_signal(number)


class Ensemble:
    """So many servers that belong together; with `users` (passwords by name) SASL authenticates clients."""

    def __init__(self, folder: Path, *, count: int = 1, users: Mapping[str, str] | None = None) -> None:
        self.servers = [Server(folder / str(n), n, users or {}) for n in range(1, count + 1)]

    @property
    def url(self) -> str:
        """As --discovery takes it."""
        return "zookeeper://" + ",".join(f"127.0.0.1:{server.port}" for server in self.servers)

    def settings(self, *, session_timeout_s: float = 40.0, root: str = "/p2p-serving") -> ZooKeeperSettings:
        """How it is reached, with sessions that do not expire by chance."""
        hosts = tuple(f"127.0.0.1:{server.port}" for server in self.servers)
        return ZooKeeperSettings(hosts, root, session_timeout_s=session_timeout_s)

    @property
    def leader(self) -> Server:
        """The server that leads, of several."""
        return next(server for server in self.servers if server.mode == "leader")

    def start(self) -> None:
        """Start the servers that do not run, and return when all of them serve."""
        several = len(self.servers) > 1
        peers = [
            f"server.{number}=127.0.0.1:{server.peer_ports[0]}:{server.peer_ports[1]}"
            for number, server in enumerate(self.servers, start=1)
        ]
        for server in self.servers:
            if not server.running:
                server.launch(peers if several else [])
        self._wait(self.servers)

    def wait_for_quorum(self) -> None:
        """Return when all servers that run serve."""
        self._wait([server for server in self.servers if server.running])

    def freeze(self) -> None:
        """Stop all servers where they are."""
        for server in self.servers:
            server.freeze()

    def thaw(self) -> None:
        """Let all servers run on."""
        for server in self.servers:
            server.thaw()

    def stop(self) -> None:
        """End all servers."""
        for server in self.servers:
            server.kill()

    def _wait(self, servers: Sequence[Server]) -> None:
        """Return when all of these serve."""
        end_s = time.monotonic() + _READY_S
        while not all(server.mode for server in servers):
            for server in servers:
                if time.monotonic() > end_s or not server.running:
                    raise RuntimeError(f"ZooKeeper does not serve; the end of its log:\n{server.log_end}")
            time.sleep(0.05)


@contextmanager
def running_ensemble(ensemble: Ensemble) -> Iterator[Ensemble]:
    """The ensemble, started, while the context is open; the test is skipped where ZooKeeper cannot be run.

    Calls wait long for a connection within: on a busy machine it may take longer than a worker would wait.
    """
    if missing():
        pytest.skip(f"ZooKeeper cannot be run: {missing()}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session, "CONNECTION_WAIT_S", 60.0)
        try:
            ensemble.start()
            yield ensemble
        finally:
            ensemble.stop()
