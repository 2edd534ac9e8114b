"""Bare machines become a fleet by install.sh, stay as they are when it runs again, and are bare again afterwards."""

from __future__ import annotations

import asyncio
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from p2pclient import AsyncClient
from tests.support.machines.fleet import Fleet
from tests.support.machines.machine import Machine
from tests.support.machines.podman import PodmanError
from tests.support.waiting import until

CAT = Path(__file__).parents[2] / "deploy" / "cat.jpg"
UNITS = {
    "s1": ("consul.service", "consul-snapshot.timer"),
    "w1": ("consul.service", "p2p-worker@1.service", "p2p-worker@2.service"),
    "l1": ("consul.service", "p2p-registry.service"),
}

pytestmark = pytest.mark.timeout(600, method="signal")


def curl(*arguments: str) -> str:
    return subprocess.run(["curl", "-sS", *arguments], capture_output=True, text=True, timeout=30).stdout.strip()


def state(machine: Machine) -> dict[str, str]:
    """Every file that install.sh makes, with its modes and its content's digest, and when the units started."""
    folders = "/etc/p2p-serving /etc/consul.d /etc/systemd/system /usr/local /opt/p2p-serving/current"
    listed = machine.run("sh", "-c", f"find {folders} -type f -printf '%p %m %u %g %T@\\n' | sort")
    started = machine.run("systemctl", "show", "--property=Id,ActiveEnterTimestampMonotonic", *UNITS[machine.name])
    return {"files": listed, "units": started}


def bare(machine: Machine) -> bool:
    """Whether nothing of install.sh is there."""
    files = machine.run("find", "/etc/systemd/system", "/usr/local", "-type", "f")
    return files == "" and "consul" not in machine.run("cat", "/etc/passwd")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("consul/tls/agent.pem", ()),
        ("p2p/client-key.pem", ()),
        ("p2p/lookup.token", ()),
        ("p2p/server.pem", ("--tls",)),
    ],
)
def test_a_missing_file_leaves_a_machine_bare(fleet: Fleet, name: str, options: tuple[str, ...]) -> None:
    """A certificate, a key or a token that the host's files lack is named before anything is installed."""
    lookup, kept = fleet.machines["l1"], f"/root/host-files/{name}"
    lookup.run("mv", kept, "/root/aside")
    try:
        with pytest.raises(
            PodmanError, match=rf"install.sh: there is no [\w/-]*{name.rpartition('/')[2]} in /root/host"
        ):
            fleet.install("l1", *options)
    finally:
        lookup.run("mv", "/root/aside", kept)
    assert bare(lookup)


def test_a_full_disk_leaves_a_machine_bare(fleet: Fleet) -> None:
    """There is no room for the environment, which comes first: no file, no user and no unit is left."""
    lookup = fleet.machines["l1"]
    lookup.run("mount", "--mkdir", "-t", "tmpfs", "-o", "size=20m", "tmpfs", "/opt/p2p-serving")
    try:
        with pytest.raises(PodmanError, match=r"was not installed: the disk of /opt/p2p-serving is full."):
            fleet.install("l1")
        assert lookup.run("ls", "/opt/p2p-serving") == ""
    finally:
        lookup.run("umount", "/opt/p2p-serving")
    assert bare(lookup)


def test_bare_machines_become_a_fleet(fleet: Fleet) -> None:
    """The server first, then tokens, then the other hosts; five minutes at most until the first prediction."""
    began_s = time.monotonic()
    fleet.install("s1")
    fleet.bootstrap("tokens")
    with ThreadPoolExecutor() as pool:
        list(pool.map(fleet.install, ("w1", "l1")))
    for name, units in UNITS.items():
        for unit in units:
            assert fleet.machines[name].active(unit), fleet.machines[name].journal(unit)
    until_s = time.monotonic() + 30
    while not (worker := curl(f"{fleet.lookup}/next")).startswith(fleet.machines["w1"].address):
        assert time.monotonic() < until_s, fleet.machines["l1"].journal("p2p-registry")
        time.sleep(0.1)
    assert curl("-F", f"data=@{CAT}", worker).startswith('[["width"')
    assert curl("-L", "-F", f"data=@{CAT}", fleet.lookup).startswith('[["width"')
    assert time.monotonic() - began_s < 300


async def test_the_client_predicts(fleet: Fleet) -> None:
    """p2pclient on a machine that runs none of it."""
    async with AsyncClient(fleet.lookup) as client:
        assert (await client.classify(CAT)).labels[0][0] == "width"


def test_a_second_run_changes_nothing(fleet: Fleet) -> None:
    """No file is written, no unit restarted."""
    for name, machine in fleet.machines.items():
        before = state(machine)
        assert fleet.install(name) == "Nothing to change."
        assert state(machine) == before


def test_services_are_confined_on_the_machine(fleet: Fleet) -> None:
    """They run as users of their own, who read their own secrets alone."""
    for name, unit, user in (
        ("w1", "p2p-worker@1", "p2p-serving"),
        ("l1", "p2p-registry", "p2p-serving"),
        ("s1", "consul", "consul"),
    ):
        machine = fleet.machines[name]
        pid = machine.run("systemctl", "show", "--property=MainPID", "--value", unit)
        assert machine.run("stat", "--format=%U", f"/proc/{pid}") == user
        status = machine.run("cat", f"/proc/{pid}/status")
        assert "NoNewPrivs:\t1" in status
        assert "CapEff:\t0000000000000000" in status
    readable = "find /etc/p2p-serving /etc/consul.d -type f -perm /o=rwx"
    assert not any(machine.run("sh", "-c", f"{readable} 2>/dev/null; true") for machine in fleet.machines.values())


def test_a_snapshot_is_taken(fleet: Fleet) -> None:
    """The timer's service saves one that Consul can read."""
    server = fleet.machines["s1"]
    server.run("systemctl", "start", "consul-snapshot.service")
    saved = server.run("sh", "-c", "ls /var/lib/consul-snapshots/*.snap")
    assert len(saved.splitlines()) == 1
    assert "Index" in server.run("consul", "snapshot", "inspect", saved)


async def test_a_worker_that_hangs_is_started_again(fleet: Fleet) -> None:
    """A worker that SIGSTOP halts feeds no watchdog: systemd ends it and starts it again."""
    worker = fleet.machines["w1"]
    drop_in = "/run/systemd/system/p2p-worker@1.service.d/soon.conf"
    worker.write(drop_in, "[Service]\nWatchdogSec=10\n")
    worker.run("systemctl", "daemon-reload")
    worker.run("systemctl", "restart", "p2p-worker@1")
    pid = worker.run("systemctl", "show", "--property=MainPID", "--value", "p2p-worker@1")
    worker.run("kill", "-STOP", pid)

    def another() -> bool:
        now = worker.run("systemctl", "show", "--property=MainPID", "--value", "p2p-worker@1")
        return now not in (pid, "0") and worker.active("p2p-worker@1")

    await until(another, within_s=60, every_s=0.5)
    assert "Watchdog timeout" in worker.journal("p2p-worker@1", lines=200)
    worker.run("rm", drop_in)
    worker.run("systemctl", "daemon-reload")


async def predictions_during(fleet: Fleet, *command: str, timeout_s: float = 300) -> int:
    """Predict while a command runs on the host of workers; how many were made. None may fail.

    A pause after each leaves the command most of the machine.
    """
    running = asyncio.create_task(asyncio.to_thread(fleet.machines["w1"].run, *command, timeout_s=timeout_s))
    predicted, failed = 0, list[Exception]()
    async with AsyncClient(fleet.lookup) as client:
        while not running.done():
            try:
                await client.classify(CAT)
                predicted += 1
            except Exception as error:
                failed.append(error)
            await asyncio.sleep(0.02)
    await running
    assert not failed
    return predicted


async def test_workers_restart_one_after_the_other_without_a_failed_prediction(fleet: Fleet) -> None:
    """`systemctl restart` returns when the worker serves again, so a loop of it is a rolling restart."""
    script = "for n in 1 2 1 2; do systemctl restart p2p-worker@$n; done"
    assert await predictions_during(fleet, "sh", "-c", script) > 100


async def test_an_upgrade_fails_no_prediction(fleet: Fleet) -> None:
    """install.sh with the wheels of the next version; both workers run it afterwards."""
    command = fleet.install_command("w1", "--wheels", "/srv/next")
    assert await predictions_during(fleet, *command) > 100
    worker = fleet.machines["w1"]
    assert worker.run("p2p", "--version") == f"p2p {fleet.wheels.following_version}"
    for number in (1, 2):
        pid = worker.run("systemctl", "show", "--property=MainPID", "--value", f"p2p-worker@{number}")
        assert f"/versions/{fleet.wheels.following_version}-" in worker.run("cat", f"/proc/{pid}/maps")


def test_a_taken_port_is_one_sentence(fleet: Fleet) -> None:
    """A lookup service that cannot start is disabled, not restarted for ever; installed again, it runs."""
    lookup = fleet.machines["l1"]
    lookup.run("systemctl", "stop", "p2p-registry")
    lookup.run("systemd-run", "--unit", "other", "python3", "-m", "http.server", "12480")
    lookup.run("sh", "-c", "until curl -s localhost:12480 >/dev/null; do sleep 0.1; done")
    with pytest.raises(PodmanError, match=r"p2p-registry.service did not start, so it is disabled: .*12480"):
        fleet.install("l1")
    assert not lookup.active("p2p-registry")
    lookup.run("systemctl", "stop", "other")
    assert "Started p2p-registry.service." in fleet.install("l1")
    assert fleet.install("l1") == "Nothing to change."


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--host-files", "/none"), "/none is no hosts/NAME of bootstrap.sh: it has no consul/host.hcl."),
        (("--consul", "/bin/true"), "/bin/true is no Consul that runs here."),
        (("--wheels", "/srv"), "/srv does not hold one wheel of p2p-serving: make it with make dist."),
        (("--role", "proxy"), "there is no role proxy."),
        (("--consul", "/root/old-consul"), "Consul 1.8 or newer is needed, and /root/old-consul is 1.7."),
        (
            ("--tokens",),
            "there is no tokens.toml in /root/host-files/p2p: put it beside hosts, then run bootstrap.sh.",
        ),
    ],
)
def test_bad_input_is_one_sentence_and_changes_nothing(fleet: Fleet, options: tuple[str, ...], sentence: str) -> None:
    worker = fleet.machines["w1"]
    worker.write("/root/old-consul", "#!/bin/sh\necho Consul v1.7.14\n")
    worker.run("chmod", "+x", "/root/old-consul")
    before = state(worker)
    with pytest.raises(PodmanError) as refused:
        fleet.install("w1", *options)
    assert str(refused.value).partition("install.sh: ")[2] == sentence
    assert state(worker) == before


def test_a_wrong_token_is_one_sentence(fleet: Fleet) -> None:
    """One that Consul does not know changes nothing."""
    worker, token = fleet.machines["w1"], "/root/host-files/p2p/worker.token"
    upgraded = ("--wheels", "/srv/next")  # what runs there since the upgrade
    right = worker.run("cat", token)
    worker.write(token, "00000000-0000-0000-0000-000000000000\n")
    before = state(worker)
    with pytest.raises(PodmanError, match=f"Consul does not know the token in {token}: run bootstrap.sh tokens.$"):
        fleet.install("w1", *upgraded)
    assert state(worker) == before
    worker.write(token, f"{right}\n")
    assert fleet.install("w1", *upgraded) == "Nothing to change."


def test_a_machine_is_bare_again(fleet: Fleet) -> None:
    """--uninstall --purge leaves no file, no user and no process; it is the last test of this module."""
    for machine in reversed(list(fleet.machines.values())):  # the server last, so that the others leave in order
        machine.run("/srv/deploy/install.sh", "--uninstall", "--purge")
        names = "find / -xdev ( -name *p2p-serving* -o -name *p2p-worker* -o -name *consul* ) -not -path /proc/*"
        found = machine.run(*names.split()).splitlines()
        left = [line for line in found if not line.startswith(("/root/", "/run/", "/srv/", "/tmp/"))]
        assert left == []
        assert "p2p-serving" not in machine.run("cat", "/etc/passwd")
        assert "consul" not in machine.run("ps", "-eo", "comm")
