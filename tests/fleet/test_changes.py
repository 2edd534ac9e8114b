"""Seven machines become a fleet, are changed, broken and repaired, while a client on an eighth predicts all the while.

Each test continues with the fleet that the one before it left; the table of what was predicted is printed at the end.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.machines.event_table import table
from tests.support.machines.large_fleet import PICTURE, LargeFleet, running_large_fleet, wait
from tests.support.machines.machine import Machine
from tests.support.machines.playbook import missing_ansible
from tests.support.machines.podman import podman
from tests.support.machines.wheels import Wheels
from tests.support.servers.prometheus_binary import find_or_skip

pytestmark = pytest.mark.timeout(900, method="signal")

THREE = ("w1", "w2", "w3")
FOUR = (*THREE, "w4")

CLOCK = """\
[Service]
Environment=LD_PRELOAD=/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1
Environment=FAKETIME=+1h
Environment=FAKETIME_DONT_FAKE_MONOTONIC=1
Environment=DONT_FAKE_MONOTONIC=1
"""
"""A clock that is an hour ahead, for one unit: all machines here have the kernel's one clock."""


@pytest.fixture(scope="module")
def fleet(consul_binary: Path, wheels: Wheels, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LargeFleet]:
    if reason := missing_ansible():
        pytest.skip(reason)
    with running_large_fleet(consul_binary, wheels, tmp_path_factory.mktemp("fleet")) as fleet:
        for name in ("w3", "l1"):  # small disks, to be filled
            for folder in ("/var/lib/consul", "/var/lib/p2p-serving", "/var/cache/p2p-serving"):
                fleet.machines[name].run("mount", "--mkdir", "-t", "tmpfs", "-o", "size=24m", "tmpfs", folder)
        yield fleet
        print(f"\n{table(fleet.events)}")


def test_seven_bare_machines_predict_after_one_command(fleet: LargeFleet) -> None:
    """From the command to the first prediction it takes two minutes on a machine that does nothing else."""
    began_s = time.monotonic()
    fleet.play()
    fleet.client.install(fleet.secrets / "ca" / "ca.pem", fleet.token, PICTURE)
    fleet.client.start(fleet.lookup)
    wait(lambda: any(not each.failed for each in fleet.client.tried()), lambda: str(fleet.client.tried()[-3:]))
    took_s = time.monotonic() - began_s
    print(f"\nseven bare machines: {took_s:.0f} s to the first prediction")
    wait(lambda: fleet.settled(*THREE), lambda: str(fleet.workers()))
    with fleet.event("nothing", *THREE):
        time.sleep(5)


def test_prometheus_starts(fleet: LargeFleet) -> None:
    """Debian's, with deploy/monitoring as its comments explain it for TLS and tokens: it finds and scrapes all."""
    binary = find_or_skip().prometheus
    authority = fleet.secrets / "ca" / "ca.pem"
    fleet.prometheus.start(binary, lookup=fleet.lookup, authority=authority, token=fleet.operator_token)
    wait(lambda: scraped(fleet, *THREE), lambda: str(fleet.prometheus.targets()))


def scraped(fleet: LargeFleet, *workers: str) -> bool:
    """Whether Prometheus has exactly these hosts' workers and the lookup service as targets, and all are up."""
    hosts = {address.rpartition(":")[0]: health for address, health in fleet.prometheus.targets().items()}
    return hosts == {fleet.machines[name].address: "up" for name in (*workers, "l1")}


def test_a_host_joins(fleet: LargeFleet) -> None:
    """Its worker is handed out within 2 s of its model being warm, or ten times that on a busy machine."""
    joining = fleet.machines["w4"]

    def handed_out_at_s() -> float:
        wait(lambda: joining.address in fleet.workers(), lambda: str(fleet.workers()), within_s=200)
        wait(lambda: fleet.settled(*FOUR), lambda: str(fleet.workers()))
        return time.time()

    fleet.add("w4", "worker")
    with fleet.event("a host of a worker added", *FOUR), ThreadPoolExecutor() as pool:
        seen = pool.submit(handed_out_at_s)
        fleet.play("--limit", "localhost,w4")
        waited_s = seen.result() - warm_at_s(joining)
    print(f"\nin rotation {waited_s:.1f} s after its model was warm")
    assert waited_s < 20


def warm_at_s(machine: Machine) -> float:
    """When the worker of a machine had its model loaded and measured (seconds of the clock)."""
    lines = machine.run("journalctl", "--unit", "p2p-worker@1", "--output", "short-unix").splitlines()
    return max(float(line.split()[0]) for line in lines if "Images a second by batch size" in line)


def test_agents_restart(fleet: LargeFleet) -> None:
    """Every client agent, one after the other."""
    with fleet.event("every client agent restarted", *FOUR):
        for name in (*FOUR, "l1"):
            fleet.machines[name].run("systemctl", "restart", "consul")
            wait(lambda: fleet.settled(*FOUR), lambda: str(fleet.workers()))


def test_servers_restart(fleet: LargeFleet) -> None:
    """Every Consul server, one after the other."""
    with fleet.event("every Consul server restarted", *FOUR):
        for name in ("s1", "s2", "s3"):
            fleet.machines[name].run("systemctl", "restart", "consul")
            wait(lambda: fleet.voters() == 3, lambda: fleet.consul("operator", "raft", "list-peers"))


def test_workers_restart(fleet: LargeFleet) -> None:
    """Every worker, one after the other; `systemctl restart` returns when it serves again."""
    with fleet.event("every worker restarted", *FOUR):
        for name in FOUR:
            fleet.machines[name].run("systemctl", "restart", "p2p-worker@1")


def test_an_upgrade(fleet: LargeFleet) -> None:
    """Wheels of the next version on all hosts, by the same command as at first."""
    with fleet.event("upgraded to the next version", *FOUR):
        fleet.play(wheels=fleet.wheels.following)
    for name in (*FOUR, "l1"):
        assert fleet.machines[name].run("p2p", "--version") == f"p2p {fleet.wheels.following_version}"


def test_back_to_the_version_before(fleet: LargeFleet) -> None:
    """The wheels of the version before again, by hand, on one host after the other."""
    with fleet.event("back to the version before", *FOUR):
        for name in ("l1", *FOUR):
            fleet.install(name)
    for name in (*FOUR, "l1"):
        assert fleet.machines[name].run("p2p", "--version") == f"p2p {fleet.wheels.this_version}"


def test_certificates_are_renewed(fleet: LargeFleet) -> None:
    """Those of all agents, workers and the lookup service: removed from the operator's folder, made anew, installed."""
    before = fleet.certificate(fleet.machines["l1"].address, 12480)
    with fleet.event("every certificate renewed", *FOUR):
        for kind in ("p2p/server", "consul/tls/agent"):
            for file in fleet.secrets.glob(f"hosts/*/{kind}*.pem"):
                file.unlink()
        fleet.make_files()
        for name in ("s1", "s2", "s3", "l1", *FOUR):
            fleet.install(name)
        wait(lambda: fleet.certificate(fleet.machines["l1"].address, 12480) != before, lambda: "the old certificate")


def test_a_ticket_key_is_rotated(fleet: LargeFleet) -> None:
    """`p2p keys rotate` on the lookup host; 5 s later it signs with the new key."""
    with fleet.event("the key of tickets rotated", *FOUR):
        fleet.as_lookup("/usr/local/bin/p2p", "keys", "rotate")
        time.sleep(6)


def test_a_clock_is_an_hour_off(fleet: LargeFleet) -> None:
    """That of a worker's host: tickets seem to have expired there."""
    machine, drop_in = fleet.machines["w2"], "/run/systemd/system/p2p-worker@1.service.d/clock.conf"

    def start_again() -> None:
        machine.run("systemctl", "daemon-reload")
        machine.run("systemctl", "restart", "p2p-worker@1")

    try:
        with fleet.event("a worker's clock an hour ahead", *FOUR):
            machine.write(drop_in, CLOCK)
            start_again()
            time.sleep(10)
    finally:
        with fleet.event("... and right again", *FOUR):
            machine.run("rm", drop_in)
            start_again()


def test_disks_are_full(fleet: LargeFleet) -> None:
    """Those of a worker's host and of the lookup host, on which agent and service are started again meanwhile."""
    folders = ("/var/lib/consul", "/var/lib/p2p-serving", "/var/cache/p2p-serving")
    fill = "; ".join(f"cat /dev/zero > {folder}/full 2>/dev/null" for folder in folders)
    try:
        with fleet.event("two disks full", *FOUR):
            for name in ("w3", "l1"):
                fleet.machines[name].run("sh", "-c", f"{fill}; true")
            time.sleep(20)
            fleet.machines["w3"].run("systemctl", "restart", "p2p-worker@1")
            fleet.machines["l1"].run("systemctl", "restart", "p2p-registry")
    finally:
        with fleet.event("... and empty again", *FOUR):
            for name in ("w3", "l1"):
                fleet.machines[name].run("rm", *(f"{folder}/full" for folder in folders))


def test_a_machine_is_killed(fleet: LargeFleet) -> None:
    """All its processes at once, so that none can deregister; then it starts again."""
    machine = fleet.machines["w1"]
    with fleet.event("a worker's host killed", "w2", "w3", "w4"):
        podman("kill", machine.container)
    with fleet.event("... and started again", *FOUR):
        podman("start", machine.container)


def test_a_host_leaves(fleet: LargeFleet) -> None:
    """--uninstall --purge: its worker leaves the rotation before its agent goes."""
    with fleet.event("a host of a worker removed", *THREE):
        fleet.machines["w4"].run("/srv/deploy/install.sh", "--uninstall", "--purge")


def test_prometheus_has_seen_it_all(fleet: LargeFleet) -> None:
    """All its targets are up again, no alert is left, and nobody was ever told that no worker serves.

    P2PSlow may fire: it depends on what else this machine does.
    """
    if not fleet.prometheus.started:
        pytest.skip("Prometheus was not started")
    wait(lambda: scraped(fleet, *THREE), lambda: str(fleet.prometheus.targets()))
    wait(lambda: fleet.prometheus.firing() <= {"P2PSlow"}, lambda: str(fleet.prometheus.firing()))
    print(f"\ntargets: {fleet.prometheus.targets()}; alerts that fired: {fleet.prometheus.fired() or 'none'}")
    assert not {"P2PNoHealthyWorker", "P2PNoLookup"} & fleet.prometheus.fired()
    assert fleet.prometheus.broken_rules() == {}


def test_five_thousand_predictions_and_none_failed(fleet: LargeFleet) -> None:
    """Over all tests, also between the events."""
    fleet.client.stop()
    tried = fleet.client.tried()
    by_library = [each for each in tried if each.way == "p2pclient"]
    assert not [each for each in by_library if each.failed]
    assert len(by_library) >= 5000
