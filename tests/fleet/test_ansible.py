"""The playbook of deploy/ansible makes a fleet of bare machines, and changes nothing when it runs again."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.machines.fleet import KINDS
from tests.support.machines.machine import running_machines
from tests.support.machines.playbook import Playbook, missing_ansible
from tests.support.machines.wheels import Wheels

pytestmark = [
    pytest.mark.timeout(900, method="signal"),
    pytest.mark.skipif(bool(missing_ansible()), reason=missing_ansible()),
]


def test_a_playbook_makes_a_fleet_and_keeps_it(consul_binary: Path, wheels: Wheels, tmp_path: Path) -> None:
    variables = {
        "p2p_secrets": str(tmp_path / "secrets"),
        "p2p_wheels": str(wheels.this),
        "p2p_offline": True,
        "p2p_extras": "images",
        "p2p_folder": "/srv/brought",
        "consul_binary": str(consul_binary),
    }
    with running_machines(*KINDS, folders={}) as machines:
        playbook = Playbook(tmp_path, variables)
        two_workers = {"p2p_workers": {name: {"P2P_WORKER_ENGINE": "echo"} for name in ("cats", "dogs")}}
        for name, machine in machines.items():
            playbook.add(machine, KINDS[name], **(two_workers if name == "w1" else {}))
        assert all(counts["changed"] for counts in playbook.run().values())
        script = "until [ $(curl -s 'localhost:12480/next?count=2' | wc -l) = 2 ]; do sleep 0.2; done"
        machines["l1"].run("timeout", "60", "sh", "-c", script)
        again = playbook.run()
        assert {host: counts["changed"] for host, counts in again.items()} == dict.fromkeys(("localhost", *KINDS), 0)
