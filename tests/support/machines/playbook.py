"""Runs the playbook of deploy/ansible on machines, with an inventory as an operator writes one."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.support.machines.machine import Machine
from tests.support.machines.podman import configuration
from tests.support.machines.wheels import ROOT

ANSIBLE = shutil.which("ansible-playbook") or str(Path(sys.prefix) / "ansible" / "bin" / "ansible-playbook")
GROUPS = {"server": "consul_servers", "worker": "workers", "lookup": "lookups"}


def missing_ansible() -> str:
    """Why no playbook can be run here; empty where one can."""
    return "" if Path(ANSIBLE).exists() else "not installed: ansible"


@dataclass
class Playbook:
    """site.yml on machines whose kinds (server, worker, lookup) are known; `folder` is for the inventory."""

    folder: Path
    variables: Mapping[str, Any]
    """Of all hosts, as the example of an inventory explains them."""

    hosts: dict[str, dict[str, Any]] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)

    def add(self, machine: Machine, kind: str, **variables: Any) -> None:
        """Write a machine into the inventory."""
        self.hosts[machine.name] = {"p2p_address": machine.address, "ansible_host": machine.container, **variables}
        self.kinds[machine.name] = kind

    def run(self, *options: str) -> dict[str, dict[str, int]]:
        """Run the playbook; for each host what it counted: ok, changed, failed ..."""
        inventory = self.folder / "inventory.yml"
        inventory.write_text(yaml.safe_dump(self._inventory()))
        environ = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "CONTAINERS_CONF": str(configuration())}
        environ |= {"ANSIBLE_NOCOLOR": "1", "ANSIBLE_PIPELINING": "1", "LC_ALL": "C.UTF-8"}
        command = [ANSIBLE, "-i", str(inventory), str(ROOT / "deploy" / "ansible" / "site.yml"), *options]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=900, cwd=self.folder)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr
        recap = done.stdout.partition("PLAY RECAP")[2].splitlines()[1:]
        return {
            line.split()[0]: {name: int(count) for name, count in re.findall(r"(\w+)=(\d+)", line)}
            for line in recap
            if line.strip()
        }

    def _inventory(self) -> dict[str, Any]:
        variables = {
            "ansible_connection": "containers.podman.podman",
            "ansible_python_interpreter": "/usr/bin/python3",
            "ansible_become": False,  # podman lets root in
            **self.variables,
        }
        local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
        groups = {
            group: {"hosts": {name: values for name, values in self.hosts.items() if self.kinds[name] == kind}}
            for kind, group in GROUPS.items()
        }
        return {"all": {"vars": variables, "hosts": {"localhost": local}}, **groups}
