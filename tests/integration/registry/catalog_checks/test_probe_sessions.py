"""Checks of workers in the catalogue over TLS, with a real Consul and real certificates."""

from __future__ import annotations

import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from registry.catalog_checks.leader import checking_catalog
from registry.consul.catalog import Catalog
from registry.consul.registration.catalog_checks import CatalogChecks
from registry.consul.settings import ConsulSettings
from registry.instances.instance import Health, Instance, RegisterAt
from registry.runtime.errors import SettingsError
from registry.runtime.tls.server import TlsFiles
from registry.runtime.tls.trust import TrustFiles
from tests.support.command_process import command, free_port
from tests.support.consul_process import ConsulProcess
from tests.support.security.certificates import Authority, Pem
from tests.support.waiting import until
from tests.support.workers.echo_worker import echo_worker


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Checks and looks at files follow each other closely."""
    monkeypatch.setattr("registry.catalog_checks.runner.CHECK_INTERVAL_S", 0.1)
    monkeypatch.setattr("registry.runtime.file_watch.LOOK_EVERY_S", 0.1)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "authority")


@pytest.fixture
async def worker(shared_consul: ConsulProcess, authority: Authority) -> AsyncIterator[Instance]:
    """A worker in the catalogue that wants a client's certificate."""
    pem = authority.sign("worker")
    tls = TlsFiles(pem.cert, pem.key, authority.ca)
    async with echo_worker(shared_consul.url, tls=tls, register=RegisterAt.CATALOG) as worker:
        yield worker.running.instance


async def until_health(shared_consul: ConsulProcess, wanted: Health) -> Instance:
    catalog = Catalog(ConsulSettings(url=shared_consul.url))

    async def is_so() -> Instance | None:
        (found,) = (await catalog.health("echo")).instances
        return found if found.health is wanted else None

    try:
        return await until(is_so, within_s=30)
    finally:
        await catalog.close()


async def test_files_that_change_are_read_again(
    shared_consul: ConsulProcess, authority: Authority, tmp_path: Path, worker: Instance
) -> None:
    """Verification is never off: with a stranger's files the check fails, and says why; with the right ones it passes.

    In between the check trusts the worker, and shows a certificate that the worker does not know.
    """
    other, known = Authority(tmp_path / "strangers", "another authority"), authority.sign("lookup")
    stranger = other.sign("stranger")
    ca, cert, key = (tmp_path / name for name in ("ca.pem", "shown.pem", "shown.key"))

    def put(authority_file: Path, pem: Pem) -> None:
        for source, target in ((authority_file, ca), (pem.cert, cert), (pem.key, key)):
            shutil.copy(source, target)

    put(other.ca, stranger)
    async with checking_catalog(ConsulSettings(url=shared_consul.url), TrustFiles(ca, cert, key)):
        assert "x509: " in (await until_health(shared_consul, Health.CRITICAL)).output
        put(authority.ca, known)
        assert (await until_health(shared_consul, Health.PASSING)).boot == worker.boot
        put(authority.ca, stranger)
        await until_health(shared_consul, Health.CRITICAL)


async def test_every_lookup_process_checks_with_the_files(
    shared_consul: ConsulProcess, authority: Authority, worker: Instance
) -> None:
    """Processes that share a port take the files from the command's flags and its environment."""
    pem = authority.sign("lookup")
    checks = CatalogChecks(ConsulSettings(url=shared_consul.url))
    _, (check,) = await checks.all()
    assert await checks.write(check, Health.CRITICAL, "not checked yet")
    await checks.close()
    flags = ["--check-cert", str(pem.cert), "--check-key", str(pem.key), "--processes", "2", "--state", ""]
    environ = {"P2P_CA": str(authority.ca)}
    where = ["--port", str(free_port()), "--consul", shared_consul.url]
    async with command("registry", *flags, *where, environ=environ) as lookup:
        await until(lambda: "This lookup process checks the workers" in lookup.output, within_s=30)
        await until_health(shared_consul, Health.PASSING)


async def test_files_that_cannot_be_used_end_the_start(shared_consul: ConsulProcess, tmp_path: Path) -> None:
    """A file that is missing is one sentence at the start, with one process and with several."""
    missing = tmp_path / "missing.pem"
    with pytest.raises(SettingsError, match=re.escape(str(missing))):
        async with checking_catalog(ConsulSettings(url=shared_consul.url), TrustFiles(ca=missing)):
            pass
    for processes in ("1", "2"):
        flags = ["--check-ca", str(missing), "--processes", processes, "--state", "", "--port", str(free_port())]
        async with command("registry", *flags, "--consul", shared_consul.url) as lookup:
            assert await lookup.ended() == 1
        (line,) = lookup.output.splitlines()
        assert "missing.pem" in line
