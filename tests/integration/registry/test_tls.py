"""The registry's commands over TLS: lookups, several processes, the proxy with TLS on either side, what is refused."""

from __future__ import annotations

import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from registry.agent.server import serve_agent
from registry.consul.catalog import Catalog, Checks
from registry.consul.settings import ConsulSettings
from registry.instances.instance import Instance
from registry.proxy.server import ProxySettings
from registry.proxy.server import running as running_proxy
from registry.runtime.errors import SettingsError
from registry.runtime.tls.server import TlsFiles
from registry.runtime.tls.trust import TrustFiles
from registry.server import running
from registry.settings import RegistrySettings
from tests.support.command_process import command, free_port
from tests.support.consul_process import ConsulProcess
from tests.support.security.certificates import Authority
from tests.support.waiting import until
from tests.support.workers.echo_worker import echo_worker


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def files(authority: Authority) -> TlsFiles:
    pem = authority.sign("server")
    return TlsFiles(pem.cert, pem.key)


def session(authority: Authority) -> aiohttp.ClientSession:
    trust = TrustFiles(authority.ca).verification()
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust, force_close=True))


@asynccontextmanager
async def tls_worker(files: TlsFiles) -> AsyncIterator[Instance]:
    """A worker that says over TLS how long the image was."""

    async def answer(request: web.Request) -> web.Response:
        return web.Response(text=f"{len(await request.read())} {request.headers['X-Forwarded-Proto']}")

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(files.cert, files.key)
    app = web.Application(client_max_size=1 << 23)
    app.router.add_post("/", answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    try:
        port = runner.addresses[0][1]
        yield Instance("cats", f"cats-{port}", "127.0.0.1", port, meta={"scheme": "https"})
    finally:
        await runner.cleanup()


async def test_several_lookup_processes_speak_tls(
    shared_consul: ConsulProcess, authority: Authority, files: TlsFiles
) -> None:
    """They share the port and the files, and name a worker's scheme; the DNS port stays plain."""
    catalog = Catalog(ConsulSettings(url=shared_consul.url))
    worker = Instance("cats", "cats-1", "127.0.0.1", 9001, meta={"scheme": "https"})
    await catalog.register(worker, Checks(f"{shared_consul.url}/v1/status/leader", ttl_s=None))
    await catalog.close()
    port = free_port()
    url, flags = f"https://127.0.0.1:{port}", ["--service", "cats", "--processes", "2", *files.as_flags()]
    where = ["--port", str(port), "--consul", shared_consul.url, "--state", ""]
    async with command("registry", *flags, *where) as registry, session(authority) as http:
        await until(lambda: registry.output.count(f"Lookup service on {url}") == 2, within_s=30)
        for _ in range(10):
            async with http.get(f"{url}/next?scheme=1") as answer:
                assert (answer.status, await answer.text()) == (200, "https://127.0.0.1:9001\n")
        async with http.get(f"{url}/instances/cats") as answer:
            ((one,),) = [(await answer.json())["instances"]]
        assert (one["scheme"], one["auth"]) == ("https", "none")


@pytest.mark.parametrize(
    "arguments",
    [["registry"], ["registry", "--processes", "2"], ["proxy"], ["agent"], ["worker", "--engine", "echo"]],
)
async def test_files_that_cannot_be_used_end_the_command(
    arguments: list[str], files: TlsFiles, authority: Authority
) -> None:
    """With one sentence and exit code 1, also where several processes would be started."""
    misfit = authority.sign("misfit")
    flags = ["--tls-cert", str(files.cert), "--tls-key", str(misfit.key), "--port", str(free_port())]
    async with command(*arguments, *flags, environ={"CONSUL_HTTP_ADDR": "127.0.0.1:1"}) as failing:
        assert await failing.ended() == 1
    (line,) = (line for line in failing.lines if line.startswith("error: "))
    assert "does not belong to the certificate" in line
    assert "Traceback" not in failing.output


async def test_a_port_that_others_reach_is_warned_of(shared_consul: ConsulProcess, files: TlsFiles) -> None:
    """One line of the process that is started, however many processes it starts itself; none with TLS."""
    for flags, warnings in (([], 1), (files.as_flags(), 0)):
        where = ["--host", "0.0.0.0", "--port", str(free_port()), "--consul", shared_consul.url, "--state", ""]
        async with command("registry", "--processes", "2", *where, *flags) as registry:
            await until(lambda r=registry: r.output.count("Lookup service on") == 2, within_s=60)
        assert registry.output.count("without TLS and without tokens") == warnings


@pytest.mark.parametrize("inwards", [True, False])
async def test_the_proxy_has_tls_on_either_side(authority: Authority, files: TlsFiles, inwards: bool) -> None:
    """It speaks TLS with workers that do, which it must trust, and with clients where it is told to."""
    async with tls_worker(files) as worker, session(authority) as http:
        settings = ProxySettings(
            ConsulSettings(),
            port=0,
            workers=(worker,),
            tls=files if inwards else None,
            upstream=TrustFiles(authority.ca),
        )
        async with running_proxy(settings) as it:
            assert it.url.startswith("https://" if inwards else "http://")
            async with http.post(it.url, data=b"x" * 200_000) as answer:
                assert (answer.status, await answer.text()) == (200, f"200000 {'https' if inwards else 'http'}")


async def test_the_proxy_does_not_send_to_workers_that_it_does_not_trust(authority: Authority, files: TlsFiles) -> None:
    """502, with a sentence that names the flag."""
    async with (
        tls_worker(files) as worker,
        running_proxy(ProxySettings(ConsulSettings(), port=0, workers=(worker,))) as it,
        session(authority) as http,
        http.post(it.url, data=b"x") as answer,
    ):
        assert answer.status == 502
        said = await answer.text()
    assert said.startswith(f"The worker at {worker.address} has a certificate that this proxy does not trust (")
    assert "--upstream-ca" in said


async def test_the_embedded_agent_speaks_tls_and_checks_over_tls(authority: Authority, files: TlsFiles) -> None:
    """Its API over https; a check of a server that it trusts passes, of one that it does not is critical."""
    async with tls_worker(files) as worker:
        for trust, output in ((TrustFiles(authority.ca), "405 Method Not Allowed"), (None, "x509: ")):
            agent = serve_agent(host="127.0.0.1", port=0, tls_files=files, check_trust=trust)
            async with agent as it:
                assert it.url.startswith("https://")
                catalog = Catalog(ConsulSettings(url=it.url, ca_file=authority.ca))
                try:
                    await catalog.register(worker, Checks(worker.origin, interval_s=0.1, failures_before_critical=0))
                    failure = await until(lambda c=catalog: c.failing_check(worker.id))
                    assert output in failure
                finally:
                    await catalog.close()


def test_files_of_a_client_that_cannot_be_used_are_told(tmp_path: Path) -> None:
    """In one sentence that names the file."""
    with pytest.raises(SettingsError, match=r"cannot be read from .*nowhere.pem"):
        TrustFiles(tmp_path / "nowhere.pem").verification()
    assert TrustFiles().verification() is True


async def test_metrics_say_when_the_certificate_ends(
    authority: Authority, files: TlsFiles, shared_consul: ConsulProcess
) -> None:
    """A lookup service and a worker that speak TLS tell Prometheus the end of their certificate, 30 days from now."""
    settings = RegistrySettings(ConsulSettings(url=shared_consul.url), port=0, service="tls-metrics", tls=files)
    async with (
        running(settings) as registry,
        echo_worker(shared_consul.url, service="tls-metrics", tls=files, host="127.0.0.1") as worker,
        session(authority) as http,
    ):
        for url in (registry.url, worker.url.replace("http://", "https://")):
            async with http.get(f"{url}/metrics") as answer:
                text = await answer.text()
            (line,) = [
                line for line in text.splitlines() if line.startswith("p2p_certificate_expiry_timestamp_seconds")
            ]
            assert float(line.split()[1]) - time.time() == pytest.approx(30 * 86400, abs=600)
