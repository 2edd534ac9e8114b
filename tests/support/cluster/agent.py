"""One Consul agent of the cluster, server or client, with the strict settings of production and ways to break it."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import aiohttp

from tests.support.cluster.keys import Certificate, Keys
from tests.support.cluster.network import Host
from tests.support.cluster.program import Program


class Agent:
    """An agent on `host`: nothing but HTTPS with client certificates, encrypted gossip, ACLs that deny by default.

    Ports are the same on every host; `servers` are the addresses that it joins.
    """

    def __init__(
        self,
        consul: Path,
        host: Host,
        folder: Path,
        keys: Keys,
        ports: dict[str, int],
        servers: Sequence[str],
        *,
        is_server: bool,
    ) -> None:
        self.host = host
        self.url = f"https://{host.address}:{ports['https']}"
        self.is_server = is_server
        self.token: str | None = None
        self._consul = consul
        self._folder = folder
        self._keys = keys
        self._settings = self._unchanging(keys.hosts[host.name], ports, servers)
        self._program: Program | None = None

    @property
    def running(self) -> bool:
        return self._program is not None and self._program.code is None

    @property
    def log(self) -> str:
        """What it has written since its start."""
        return self._program.output if self._program else ""

    def start(self) -> None:
        """Start it; where it has a token of its own it knows it from the start."""
        tokens = {"agent": self.token} if self.token else {}
        acl = {"enabled": True, "default_policy": "deny", "tokens": tokens}
        (self._folder / "data").mkdir(parents=True, exist_ok=True)
        (self._folder / "consul.json").write_text(json.dumps(self._settings | {"acl": acl}), encoding="utf-8")
        command = (self._consul, "agent", "-config-file", self._folder / "consul.json")
        self._program = Program(self.host, command, log=self._folder / "consul.log")

    async def stop(self) -> None:
        """Ask it to end: a client then leaves the cluster, and its services with it; a server does not."""
        assert self._program is not None
        await self._program.stop()

    async def kill(self) -> None:
        """kill -9."""
        assert self._program is not None
        await self._program.kill()

    def wipe(self) -> None:
        """Remove its data; it must not be running."""
        shutil.rmtree(self._folder / "data")

    async def ask(
        self,
        http: aiohttp.ClientSession,
        path: str,
        *,
        method: str = "GET",
        token: str = "",
        body: object | None = None,
        timeout_s: float = 2.0,
    ) -> Any:
        """Its answer as JSON (or text); None where it does not answer with a 200."""
        limit = aiohttp.ClientTimeout(total=timeout_s)
        try:
            async with http.request(
                method, f"{self.url}{path}", json=body, headers={"X-Consul-Token": token}, timeout=limit
            ) as answer:
                text = await answer.text()
        except (aiohttp.ClientError, TimeoutError):
            return None
        if answer.status != 200:
            return None
        return json.loads(text) if answer.content_type == "application/json" else text

    def _unchanging(self, certificate: Certificate, ports: dict[str, int], servers: Sequence[str]) -> dict[str, object]:
        server: dict[str, object] = {"server": True, "bootstrap_expect": len(servers)} if self.is_server else {}
        return server | {
            "node_name": self.host.name,
            # Without one an agent that lost its data comes back under a new id, and while the servers still take the
            # old one for alive they refuse it: "Node name b is reserved by node ...", for as long as that lasts.
            "node_id": str(uuid.uuid5(uuid.NAMESPACE_DNS, self.host.name)),
            "data_dir": str(self._folder / "data"),
            "bind_addr": self.host.control,
            "client_addr": self.host.address,
            "ports": {"http": -1, "dns": -1, "grpc": -1, "serf_wan": -1, **ports},
            "encrypt": self._keys.gossip,
            "ca_file": str(self._keys.ca),
            "cert_file": str(certificate.cert),
            "key_file": str(certificate.key),
            "verify_incoming": True,
            "verify_outgoing": True,
            "verify_server_hostname": True,
            "retry_join": [f"{address}:{ports['serf_lan']}" for address in servers],
            "retry_interval": "1s",
            "performance": {"raft_multiplier": 1},
            "limits": {"http_max_conns_per_client": 2000},
            "disable_update_check": True,
        }
