"""The playbook of deploy/ansible makes a fleet of bare machines, and changes nothing when it runs again."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.support.machines.fleet import KINDS
from tests.support.machines.machine import running_machines
from tests.support.machines.podman import configuration, missing
from tests.support.machines.wheels import ROOT, make_wheels

ANSIBLE = shutil.which("ansible-playbook") or str(Path(sys.prefix) / "ansible" / "bin" / "ansible-playbook")

pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.skipif(not Path(ANSIBLE).exists(), reason="not installed: ansible"),
]


def play(inventory: Path) -> dict[str, dict[str, int]]:
    """Run the playbook; for each host what it counted: ok, changed, failed ..."""
    environ = {"PATH": os.environ["PATH"], "HOME": str(inventory.parent), "CONTAINERS_CONF": str(configuration())}
    environ |= {"ANSIBLE_NOCOLOR": "1", "ANSIBLE_PIPELINING": "1", "LC_ALL": "C.UTF-8"}
    command = [ANSIBLE, "-i", str(inventory), str(ROOT / "deploy" / "ansible" / "site.yml")]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=600, cwd=inventory.parent)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    recap = done.stdout.partition("PLAY RECAP")[2].splitlines()[1:]
    return {
        line.split()[0]: {name: int(count) for name, count in re.findall(r"(\w+)=(\d+)", line)}
        for line in recap
        if line.strip()
    }


def test_a_playbook_makes_a_fleet_and_keeps_it(consul_binary: Path, tmp_path: Path) -> None:
    if reason := missing():
        pytest.skip(reason)
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    make_wheels(wheels)
    with running_machines(*KINDS, folders={}) as machines:
        hosts = {
            name: {"p2p_address": machine.address, "ansible_host": machine.container}
            for name, machine in machines.items()
        }
        hosts["w1"]["p2p_workers"] = {name: {"P2P_WORKER_ENGINE": "echo"} for name in ("cats", "dogs")}
        variables = {
            "ansible_connection": "containers.podman.podman",
            "ansible_python_interpreter": "/usr/bin/python3",
            "ansible_become": False,  # podman lets root in
            "p2p_secrets": str(tmp_path / "secrets"),
            "p2p_wheels": str(wheels),
            "p2p_offline": True,
            "p2p_extras": "images",
            "consul_binary": str(consul_binary),
        }
        local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
        inventory = {
            "all": {"vars": variables, "hosts": {"localhost": local}},
            "consul_servers": {"hosts": {"s1": hosts["s1"]}},
            "workers": {"hosts": {"w1": hosts["w1"]}},
            "lookups": {"hosts": {"l1": hosts["l1"]}},
        }
        (tmp_path / "inventory.yml").write_text(yaml.safe_dump(inventory))
        assert all(counts["changed"] for counts in play(tmp_path / "inventory.yml").values())
        script = "until [ $(curl -s 'localhost:12480/next?count=2' | wc -l) = 2 ]; do sleep 0.2; done"
        machines["l1"].run("timeout", "60", "sh", "-c", script)
        again = play(tmp_path / "inventory.yml")
        assert {host: counts["changed"] for host, counts in again.items()} == dict.fromkeys(("localhost", *KINDS), 0)
