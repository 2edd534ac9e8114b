"""A real Consul in a process of its own, for tests: one server with all its data in one folder.

It can be stopped or killed and started again with the same ports and data, as an operator's agent would be.
All calls block for up to a few seconds; from async tests go through `asyncio.to_thread`.
"""

from __future__ import annotations

import json
import os
import random
import socket
import subprocess
import time
import uuid
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

from tests.support.security.certificates import Pem

_READY_S = 30.0
_STOP_S = 10.0
_LISTENERS = ("http", "dns", "server", "serf_lan")


class ConsulProcess:
    """One Consul server, `folder` holding its data, settings and log (`consul.log`).

    With `wan` it is a member of a pool of datacenters, too, as servers usually are. Its HTTP checks trust the authority
    in the file `check_ca`, and show the certificate `check_pem`. With `management`, a token that may do everything, it
    denies by default. `changes` are settings that differ; with `joins` it is a client agent of that server's cluster.
    """

    def __init__(
        self,
        binary: Path,
        folder: Path,
        *,
        node: str = "test-node",
        datacenter: str = "dc1",
        wan: bool = False,
        check_ca: Path | None = None,
        check_pem: Pem | None = None,
        management: str = "",
        joins: ConsulProcess | None = None,
        **changes: Any,
    ) -> None:
        self._management = management
        self._check_ca = check_ca
        self._check_pem = check_pem
        self._binary = binary
        self._folder = folder
        self._node = node
        self._datacenter = datacenter
        self._listeners = (*_LISTENERS, "serf_wan") if wan else _LISTENERS
        self._changes = changes
        if joins is not None:
            self._changes = {"server": False, "bootstrap_expect": 0, "retry_join": [joins.gossip]} | changes
        self._ports: dict[str, int] = {}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its HTTP address, the same after every start."""
        return f"http://127.0.0.1:{self._ports['http']}"

    @property
    def gossip(self) -> str:
        """Where other agents join it."""
        return f"127.0.0.1:{self._ports['serf_lan']}"

    @property
    def wan_gossip(self) -> str:
        """Where servers of other datacenters join it, if it was made with `wan`."""
        return f"127.0.0.1:{self._ports['serf_wan']}"

    @property
    def dns_port(self) -> int:
        """Where it answers as DNS, over UDP and TCP at 127.0.0.1."""
        return self._ports["dns"]

    def join_wan(self, other: ConsulProcess) -> None:
        """Make the servers of two datacenters know each other; both were made with `wan`."""
        with urlopen(Request(f"{self.url}/v1/agent/join/{other.wan_gossip}?wan=1", method="PUT"), timeout=10):
            pass

    @property
    def pid(self) -> int:
        """The process to look at or to signal."""
        assert self._process is not None, "start it first"
        return self._process.pid

    def start(self) -> None:
        """Start it and return when it has a leader and a catalogue; what was registered before a stop is there."""
        first = not self._ports
        for attempt in range(5):
            if first:
                self._ports = _free_ports(self._listeners)
            self._launch()
            if self._wait_until_ready():
                return
            self.kill()
            if not first or attempt == 4:
                break
        raise RuntimeError(f"Consul did not start; the end of its log:\n{self._log_end()}")

    def stop(self) -> None:
        """Ask it to end, and wait until it has."""
        self._end(kill=False)

    def kill(self) -> None:
        """kill -9."""
        self._end(kill=True)

    def new_token(self, rules: str) -> str:
        """A token that allows what `rules` say, of a Consul with `management`."""
        name = f"policy-{uuid.uuid4()}"
        self._put("/v1/acl/policy", {"Name": name, "Rules": rules})
        token: str = self._put("/v1/acl/token", {"Policies": [{"Name": name}]})["SecretID"]
        return token

    def _launch(self) -> None:
        data = self._folder / "data"
        data.mkdir(parents=True, exist_ok=True)
        settings = {
            "server": True,
            "bootstrap_expect": 1,
            "node_name": self._node,
            "datacenter": self._datacenter,
            "data_dir": str(data),
            "bind_addr": "127.0.0.1",
            "client_addr": "127.0.0.1",
            "ports": {"grpc": -1, "serf_wan": -1, **self._ports},
            "performance": {"raft_multiplier": 1},
            "limits": {"http_max_conns_per_client": 2000},
            "disable_update_check": True,
        } | (self._check_settings() | self._rights() | self._changes)
        (self._folder / "consul.json").write_text(json.dumps(settings), encoding="utf-8")
        with (self._folder / "consul.log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._binary, "agent", "-config-file", self._folder / "consul.json"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=os.environ | ({} if self._check_ca is None else {"SSL_CERT_FILE": str(self._check_ca)}),
            )

    def _put(self, path: str, body: dict[str, Any]) -> Any:
        token = {"X-Consul-Token": self._management}
        request = Request(self.url + path, json.dumps(body).encode(), token, method="PUT")
        with urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def _check_settings(self) -> dict[str, Any]:
        """How its checks show a certificate, as docs/guide/tls.md says."""
        if self._check_pem is None:
            return {}
        return {
            "enable_agent_tls_for_checks": True,
            "ca_file": str(self._check_ca),
            "cert_file": str(self._check_pem.cert),
            "key_file": str(self._check_pem.key),
        }

    def _rights(self) -> dict[str, Any]:
        """How it knows who may do what; `master` is the word of all its versions for the token that may do all."""
        tokens = {"master": self._management, "agent": self._management}
        return {"acl": {"enabled": True, "default_policy": "deny", "tokens": tokens}} if self._management else {}

    def _wait_until_ready(self) -> bool:
        assert self._process is not None
        until_s = time.monotonic() + _READY_S
        while time.monotonic() < until_s and self._process.poll() is None:
            if self._is_ready():
                return True
            time.sleep(0.02)
        return False

    def _is_ready(self) -> bool:
        """A leader is known and has put the node, alive, into the catalogue."""
        try:
            token = {"X-Consul-Token": self._management} if self._management else {}
            with urlopen(Request(f"{self.url}/v1/health/node/{self._node}", headers=token), timeout=1.0) as answer:
                checks = json.load(answer)
        except (URLError, OSError):
            return False
        return any(check["CheckID"] == "serfHealth" and check["Status"] == "passing" for check in checks)

    def _end(self, *, kill: bool) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill() if kill else process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _log_end(self) -> str:
        return (self._folder / "consul.log").read_text(encoding="utf-8", errors="replace")[-2000:]


def _free_ports(names: tuple[str, ...]) -> dict[str, int]:
    """Ports that are free for TCP and UDP, each proved by binding it.

    Not the system's own choice: those come from the range that outgoing connections use too, so one of
    them could be taken while Consul is stopped, and a client that keeps trying such a port may even
    connect to itself.
    """
    ports: dict[str, int] = {}
    with ExitStack() as held:
        while len(ports) < len(names):
            port = random.randrange(15000, 32000)
            try:
                for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                    held.enter_context(socket.socket(type=kind)).bind(("127.0.0.1", port))
            except OSError:
                continue
            ports[names[len(ports)]] = port
    return ports
