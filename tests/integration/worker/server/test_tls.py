"""A worker that speaks TLS: what it answers, how it is registered, and how a real Consul checks it."""

from __future__ import annotations

import io
import json
import logging
import ssl
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from registry.consul.errors import ConsulRefused
from registry.consul.settings import ConsulSettings
from registry.runtime.tls.server import TlsFiles
from tests.support import photos
from tests.support.consul_process import ConsulProcess
from tests.support.security.certificates import Authority
from tests.support.waiting import until
from worker import registration
from worker.artifacts.source import ModelSource
from worker.server.serve import RunningWorker, running
from worker.settings import WorkerSettings


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def files(authority: Authority) -> TlsFiles:
    pem = authority.sign("worker")
    return TlsFiles(pem.cert, pem.key)


@contextmanager
def consul_of(binary: Path, folder: Path, **checks: Any) -> Iterator[ConsulProcess]:
    process = ConsulProcess(binary, folder, **checks)
    process.start()
    try:
        yield process
    finally:
        process.stop()


@asynccontextmanager
async def worker_on(consul: ConsulProcess, tls: TlsFiles, **changes: Any) -> AsyncIterator[RunningWorker]:
    settings = WorkerSettings(
        ConsulSettings(url=consul.url), ModelSource(engine="echo"), service="echo", drain_s=0.0, tls=tls, **changes
    )
    async with running(settings) as worker:
        yield worker


def checks_of(consul: ConsulProcess) -> dict[str, tuple[str, str]]:
    """Status and output of the worker's checks, by the last part of their ids."""
    with urllib.request.urlopen(f"{consul.url}/v1/agent/checks", timeout=5) as answer:
        found = json.load(answer)
    return {name.rpartition(":")[2]: (check["Status"], check["Output"]) for name, check in found.items()}


def told(consul: ConsulProcess, word: str) -> bool:
    """Whether Consul's own check has run and says this."""
    return word in checks_of(consul).get("http", ("", ""))[1]


async def test_it_answers_over_tls_and_says_so(
    consul_binary: Path, tmp_path: Path, authority: Authority, files: TlsFiles
) -> None:
    """Fast path and framework answer; the scheme is registered; a Consul that trusts the authority checks it."""
    with consul_of(consul_binary, tmp_path, check_ca=authority.ca) as consul:
        async with worker_on(consul, files) as worker:
            assert worker.instance.meta["scheme"] == "https"
            url, context = worker.instance.origin, ssl.create_default_context(cafile=authority.ca)
            async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as http:
                for name in ("/", "/?top=1"):
                    async with http.post(url + name, data=io.BytesIO(photos.chelsea_jpeg())) as answer:
                        assert answer.status == 200
                        assert await answer.json()
                async with http.get(f"{url}/readyz") as answer:
                    assert answer.status == 200
            await until(lambda: told(consul, "200 OK"))
            assert checks_of(consul)["http"][0] == "passing"


async def test_a_consul_that_does_not_trust_the_certificate_is_logged(
    consul_binary: Path,
    tmp_path: Path,
    files: TlsFiles,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Verification is never switched off: the check fails, and the worker's log says with what words."""
    monkeypatch.setattr(registration, "HEARTBEAT_S", 0.2)
    monkeypatch.setattr(registration, "FIRST_AUDIT_S", 0.2)
    monkeypatch.setattr(registration, "AUDIT_S", 0.2)
    caplog.set_level(logging.INFO)
    with consul_of(consul_binary, tmp_path) as consul:
        async with worker_on(consul, files):
            await until(lambda: "fails, so clients are not sent here" in caplog.text, within_s=20)
            assert "x509: certificate signed by unknown authority" in caplog.text


async def test_where_clients_need_a_certificate_heartbeats_alone_say_that_it_lives(
    consul_binary: Path, tmp_path: Path, authority: Authority, files: TlsFiles
) -> None:
    """Consul's agent shows no certificate unless it is configured to, so that its check would fail for ever."""
    mutual = TlsFiles(files.cert, files.key, authority.ca)
    with consul_of(consul_binary, tmp_path, check_ca=authority.ca) as consul:
        async with worker_on(consul, mutual):
            assert set(checks_of(consul)) == {"ttl"}
            assert checks_of(consul)["ttl"][0] == "passing"


async def test_an_agent_with_a_certificate_may_check_there(
    consul_binary: Path, tmp_path: Path, authority: Authority
) -> None:
    """With --agent-check the agent shows its certificate; it then expects its node's name in the worker's."""
    pem, agent = authority.sign("both", hosts=("127.0.0.1", "test-node")), authority.sign("agent")
    mutual = TlsFiles(pem.cert, pem.key, authority.ca)
    with consul_of(consul_binary, tmp_path, check_ca=authority.ca, check_pem=agent) as consul:
        async with worker_on(consul, mutual, agent_check=True):
            await until(lambda: told(consul, "200 OK"))
            assert checks_of(consul)["http"][0] == "passing"


async def test_the_name_that_the_agent_expects_is_told_to_consul(shared_consul: ConsulProcess, files: TlsFiles) -> None:
    """Consul 1.8 refuses a registration with a name, in a sentence that holds the word; newer ones know it."""
    with pytest.raises(ConsulRefused, match="TLSServerName"):
        async with worker_on(shared_consul, files, agent_check_name="localhost"):
            pass
