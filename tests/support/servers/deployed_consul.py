"""Consul agents that run from the files of deploy/consul, on loopback addresses of their own, with their usual ports.

Nothing is overridden but paths, and the addresses that agents of one machine cannot share.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from urllib.request import Request, urlopen

from registry.consul.settings import ConsulSettings

ROOT = Path(__file__).parents[3]
FILES = ROOT / "deploy" / "consul"
_PATIENCE_S = 30.0


def loopback_address() -> str:
    """An address of this machine that no other process is likely to use, and at which Consul's ports are free."""
    while True:
        address = "127." + ".".join(str(random.randrange(2, 254)) for _ in range(3))
        try:
            for port in (8300, 8301, 8501):
                socket.create_server((address, port)).close()
        except OSError:
            continue
        return address


class DeployedConsul:
    """One server `s1` and one client agent `c1` (of workers and a lookup service), bootstrapped as an operator does it.

    `folder` is what bootstrap.sh made. All calls block.
    """

    def __init__(self, binary: Path, folder: Path) -> None:
        self.binary = binary
        self.folder = folder / "secrets"
        self._work = folder
        self.addresses = {"s1": loopback_address(), "c1": loopback_address()}
        self.said: list[str] = []  # by bootstrap.sh
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def bootstrap(self, command: str, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run bootstrap.sh, in the environment of an operator who has set nothing but where consul is."""
        environ = {"PATH": os.environ["PATH"], "CONSUL_BIN": str(self.binary)}
        program = [str(FILES / "bootstrap.sh"), command, str(self.folder), *arguments]
        done = subprocess.run(program, env=environ, capture_output=True, text=True, check=check, timeout=60)
        self.said.append(done.stdout + done.stderr)
        return done

    def make_files(self) -> None:
        """Keys, certificates and the files of both hosts."""
        s1, c1 = (f"{name}={address}" for name, address in self.addresses.items())
        self.bootstrap("files", "--server", s1, "--worker", c1, "--lookup", c1)

    def start_server(self) -> None:
        """Start the server; returns when it listens. Without tokens yet, it answers nobody."""
        self._launch("s1")
        until_s = time.monotonic() + _PATIENCE_S
        while time.monotonic() < until_s:
            with contextlib.suppress(OSError), socket.create_connection((self.addresses["s1"], 8501)):
                return
            time.sleep(0.05)
        raise RuntimeError(self.log("s1")[-3000:])

    def start(self, name: str) -> None:
        """Start an agent; returns when it knows a leader and tokens.

        Consul 1.8 takes its servers for ones with the ACLs of old until gossip tells it better.
        """
        self._launch(name)
        until_s = time.monotonic() + _PATIENCE_S
        while not self._knows_tokens(name):
            if self._running[name].poll() is not None or time.monotonic() > until_s:
                raise RuntimeError(f"{name} does not answer:\n{self.log(name)[-3000:]}")
            time.sleep(0.1)

    def _knows_tokens(self, name: str) -> bool:
        said = self.run("info", at=name, token="management").stdout
        return "acl = enabled" in said and self.run("catalog", "nodes", at=name, token="management").returncode == 0

    def log(self, name: str) -> str:
        """All that an agent has written."""
        return (self._work / f"{name}.log").read_text(encoding="utf-8", errors="replace")

    def _launch(self, name: str) -> None:
        files, host = self._work / f"{name}-etc", self.folder / "hosts" / name / "consul"
        files.mkdir(exist_ok=True)
        for path in ("consul.hcl", "server.hcl" if name == "s1" else "client.hcl", "tls.hcl"):
            shutil.copy(FILES / path, files)
        for name_of_file in ("host.hcl", "default-token.hcl"):
            shutil.copy(host / name_of_file, files)
        (files / "zz-test.json").write_text(json.dumps(self._overridden(name, host / "tls")))
        with (self._work / f"{name}.log").open("ab") as log:
            command = [self.binary, "agent", "-config-dir", files]
            self._running[name] = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def _overridden(self, name: str, tls: Path) -> Mapping[str, object]:
        files = {"ca_file": "ca.pem", "cert_file": "agent.pem", "key_file": "agent-key.pem"}
        return {
            "data_dir": str(self._work / f"{name}-data"),
            "addresses": {"https": self.addresses[name]},
            "ports": {"serf_wan": -1},
            **{key: str(tls / file) for key, file in files.items()},
        }

    def stop(self, name: str, *, kill: bool = False) -> None:
        """End an agent: in order, or by kill -9."""
        process = self._running.pop(name)
        process.kill() if kill else process.terminate()
        process.wait(20)

    def stop_all(self) -> None:
        """End what runs."""
        for name in list(self._running):
            self.stop(name, kill=True)

    def wipe(self, name: str) -> None:
        """Remove the data of an agent that does not run."""
        shutil.rmtree(self._work / f"{name}-data")

    def secret(self, token: str) -> str:
        """The secret of the token with this name: management, or one of the folder `tokens`; a secret is itself."""
        for path in (self.folder / f"{token}.token", self.folder / "tokens" / token):
            if path.is_file():
                return path.read_text().strip()
        return token if len(token) == 36 else ""

    def environ(self, *, at: str = "c1", token: str = "") -> dict[str, str]:
        """What a part, or an operator, needs to speak to this agent."""
        return {
            "CONSUL_HTTP_ADDR": f"https://{self.addresses[at]}:8501",
            "CONSUL_CACERT": str(self.folder / "ca" / "ca.pem"),
            "CONSUL_CLIENT_CERT": str(self.folder / "operator.pem"),
            "CONSUL_CLIENT_KEY": str(self.folder / "operator-key.pem"),
            "CONSUL_HTTP_TOKEN": self.secret(token),
        }

    def settings(self, *, at: str = "c1", token: str = "") -> ConsulSettings:
        """The same as our own settings."""
        return ConsulSettings.from_environment(self.environ(at=at, token=token))

    def run(self, *arguments: str, at: str = "c1", token: str = "") -> subprocess.CompletedProcess[str]:
        """`consul ARGUMENTS` with a token."""
        command = [str(self.binary), *arguments]
        environ = self.environ(at=at, token=token)
        return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=30)

    def forget_node(self, name: str) -> None:
        """Take a node out of the catalogue, as an operator may do with one that is gone."""
        context = ssl.create_default_context(cafile=self.folder / "ca" / "ca.pem")
        context.load_cert_chain(self.folder / "operator.pem", self.folder / "operator-key.pem")
        url = f"https://{self.addresses['s1']}:8501/v1/catalog/deregister"
        body, headers = json.dumps({"Node": name}).encode(), {"X-Consul-Token": self.secret("management")}
        with urlopen(Request(url, body, headers, method="PUT"), context=context, timeout=10) as answer:
            assert answer.read().strip() == b"true"

    def token_with(self, rules: str) -> str:
        """The secret of a new token that has these rights and no others."""
        name = f"test-{random.randrange(10**9)}"
        assert self.run("acl", "policy", "create", "-name", name, "-rules", rules, token="management").returncode == 0
        made = self.run("acl", "token", "create", "-policy-name", name, token="management")
        assert made.returncode == 0, made.stderr
        (line,) = (line for line in made.stdout.splitlines() if line.startswith("SecretID:"))
        return line.split()[1]

    def change_policy(self, name: str, rules: str) -> None:
        """Give the tokens of a policy other rights."""
        done = self.run("acl", "policy", "update", "-name", name, "-no-merge", "-rules", rules, token="management")
        assert done.returncode == 0, done.stderr
