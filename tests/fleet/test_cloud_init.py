"""A machine that cloud-init starts with the user data of deploy/cloud-init joins the fleet by itself."""

from __future__ import annotations

import hashlib
import subprocess
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tests.support.machines.fleet import Fleet
from tests.support.machines.podman import podman
from tests.support.machines.wheels import ROOT

pytestmark = pytest.mark.timeout(600, method="signal")

SETTINGS = "datasource_list: [NoCloud]\nnetwork: {config: disabled}\n"
META = "instance-id: i-w1\nlocal-hostname: w1\n"


@pytest.fixture(scope="module")
def archive(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What pack.sh makes for all hosts."""
    target = tmp_path_factory.mktemp("archive") / "p2p-serving.tar.gz"
    command = [ROOT / "deploy" / "pack.sh", target, "--consul", fleet.consul, "--wheels", fleet.wheels.this]
    subprocess.run(command, check=True)
    return target


def user_data(fleet: Fleet, archive: Path, port: int) -> str:
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    gateway = fleet.machines["w1"].address.rpartition(".")[0] + ".1"
    options = ("--role", "consul-client", "--role", "worker", "--worker", "1", "--offline", "--extras", "images")
    program = [ROOT / "deploy" / "cloud-init" / "user-data.sh", fleet.secrets / "hosts" / "w1"]
    command = [*program, f"http://{gateway}:{port}/{archive.name}", digest, *options]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_cloud_init_makes_a_worker(fleet: Fleet, archive: Path) -> None:
    """cloud-init accepts the user data by its schema, and the machine serves after its next start."""
    worker = fleet.machines["w1"]
    for name in ("s1", "l1"):
        fleet.install(name)
        if name == "s1":
            fleet.bootstrap("tokens")
    handler = partial(SimpleHTTPRequestHandler, directory=str(archive.parent))
    with ThreadingHTTPServer(("0.0.0.0", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        worker.run("apt-get", "update", "-q")
        worker.run("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-qy", "cloud-init")
        worker.run("rm", "-rf", "/root/host-files")
        worker.write("/var/lib/cloud/seed/nocloud/meta-data", META)
        worker.write("/var/lib/cloud/seed/nocloud/user-data", user_data(fleet, archive, server.server_port))
        said = worker.run("cloud-init", "schema", "--config-file", "/var/lib/cloud/seed/nocloud/user-data")
        assert said.splitlines()[0].startswith("Valid cloud-config")
        worker.write(
            "/etc/cloud/cloud.cfg.d/99-test.cfg",
            "datasource_list: [NoCloud]\nnetwork: {config: disabled}\nlocale: false\n",
        )
        podman("restart", "--time", "10", worker.container)
        ended = "systemctl show -P ActiveState cloud-final | grep -qE '^(active|failed)'"
        script = f"until {ended}; do sleep 0.5; done; cloud-init status"
        said = worker.run("timeout", "200", "sh", "-c", f"{script} || cat /var/log/cloud-init-output.log")
        assert "status: done" in said, said
        server.shutdown()
    assert worker.active("p2p-worker@1")
    brought = worker.run("ls", "/usr/local/src/p2p-serving").split()
    assert not {"archive", "host-files", "host-files.tar.gz"} & set(brought)
    lookup = "until curl -s localhost:12480/next | grep -q :; do sleep 0.2; done"
    fleet.machines["l1"].run("timeout", "30", "sh", "-c", lookup)
