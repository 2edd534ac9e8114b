"""bootstrap.sh: nothing secret is printed or readable by others, what exists is kept, errors are one line."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest

from tests.support.servers.deployed_consul import DeployedConsul


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def made(consul_binary: Path, tmp_path: Path) -> DeployedConsul:
    """The files of a cluster that does not run."""
    consul = DeployedConsul(consul_binary, tmp_path)
    consul.make_files()
    return consul


def test_only_the_owner_reads_what_is_made(made: DeployedConsul) -> None:
    for path in (made.folder, *made.folder.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) in (0o700, 0o600), path


def test_a_host_gets_what_it_needs_and_nothing_else(made: DeployedConsul) -> None:
    """No host gets the authority's key, the operator's files, or the token of a part that does not run there."""
    made.bootstrap("files", "--worker", "w1=127.0.0.9")
    got = {path.relative_to(made.folder / "hosts" / "w1").as_posix() for path in contents(made.folder / "hosts" / "w1")}
    settings = {"consul/host.hcl", "consul/default-token.hcl"}
    consul = settings | {"consul/tls/ca.pem", "consul/tls/agent.pem", "consul/tls/agent-key.pem"}
    certificates = {f"p2p/{name}{half}.pem" for name in ("client", "server") for half in ("", "-key")}
    assert got == {"node_id", *consul, "p2p/ca.pem", *certificates, "p2p/worker.token"}
    its_own = ("worker", "agent-w1", "agent-default-w1")
    secrets = {path.read_bytes() for path in (made.folder / "tokens").iterdir() if path.name not in its_own}
    for path, content in contents(made.folder / "hosts" / "w1").items():
        assert not any(secret.strip() in content for secret in secrets), path


def test_callers_go_to_the_hosts_that_they_ask(made: DeployedConsul) -> None:
    """An operator's token file goes to hosts of workers and lookup services, and to no Consul server."""
    (made.folder / "tokens.toml").write_text("[visitor]\n")
    made.make_files()
    assert (made.folder / "hosts" / "c1" / "p2p" / "tokens.toml").read_text() == "[visitor]\n"
    assert not list((made.folder / "hosts" / "s1").rglob("tokens.toml"))


def test_no_secret_is_printed(deployed: DeployedConsul) -> None:
    """Not by the first run (`deployed` keeps what it said), and not by the next one, which keeps every file."""
    before = contents(deployed.folder)
    deployed.make_files()
    said = deployed.bootstrap("tokens")
    assert said.stderr == ""
    assert contents(deployed.folder) == before
    secrets = [path.read_text().strip() for path in (deployed.folder / "tokens").iterdir()]
    secrets += [deployed.secret("management"), (deployed.folder / "gossip.key").read_text().strip()]
    for text in (*deployed.said, said.stdout):
        assert not any(secret in text for secret in secrets)


def test_the_bootstrap_ends_where_it_cannot_go_on(made: DeployedConsul, consul_binary: Path) -> None:
    """Each error is one sentence, and nothing is left of what was begun."""
    before = contents(made.folder)
    for arguments, sentence in (
        (("files", "--worker", "w1"), "'w1' is not NAME=ADDRESS: an address is an IP address"),
        (("files", "--worker", "W 1=10.0.0.1"), "'W 1=10.0.0.1' is not NAME=ADDRESS: a name consists of"),
        (("files", "--worker"), "--worker needs NAME=ADDRESS."),
    ):
        done = made.bootstrap(*arguments, check=False)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith(f"bootstrap.sh: {sentence}")
        assert len(done.stderr.splitlines()) == 1
        assert contents(made.folder) == before


def test_a_missing_consul_is_one_sentence(made: DeployedConsul) -> None:
    program = Path(__file__).parents[4] / "deploy" / "consul" / "bootstrap.sh"
    environ = {"PATH": os.environ["PATH"], "CONSUL_BIN": "/nowhere/consul"}
    done = subprocess.run([program, "files", made.folder], env=environ, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == "bootstrap.sh: no consul was found: install it, or name it in CONSUL_BIN.\n"


def test_the_tokens_of_another_cluster_are_refused(deployed: DeployedConsul) -> None:
    """Where ACLs were bootstrapped before and the management token is missing, that is said and nothing is changed."""
    token = deployed.folder / "management.token"
    aside = token.rename(token.with_suffix(".aside"))
    try:
        done = deployed.bootstrap("tokens", check=False)
    finally:
        aside.rename(token)
    assert done.returncode == 1
    assert "were bootstrapped before" in done.stderr
    assert not list(deployed.folder.glob(".work.*"))
