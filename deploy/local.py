"""`p2p up`: runs Consul (or the embedded agent), the lookup service and workers on this machine as child processes.

It starts the commands that a user would start by hand, waits until the lookup service hands the workers out, and
prints a command to try. On a signal it stops the workers first, while Consul and the lookup service still run.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Mapping

import aiohttp

from deploy.backend import children_environment, find_backend
from deploy.control_socket import accepting_control, control_path
from deploy.ready_message import plain_example, ready_message, tls_example
from deploy.up_settings import DEFAULT_PORT, HOST, UpSettings
from deploy.worker_pool import EndedEarlyError, WorkerPool
from registry.backend.errors import BackendUnavailable
from registry.chosen_backend import BackendSettings, open_source
from registry.consul.settings import DEFAULT_CONSUL_URL, ConsulSettings
from registry.instances.instance import Health
from registry.runtime.errors import SettingsError
from registry.runtime.listen import bind, port_of
from registry.runtime.processes.children import ChildProcess, WriteLine
from registry.runtime.tasks.race import finishes_first
from registry.runtime.tls.server import server_context
from registry.runtime.tls.trust import verification_fault

AGENT_PORT = 8500

_AGENTS_OWN = frozenset(
    f"P2P{command}_TLS_{file}" for command in ("", "_AGENT") for file in ("CERT", "KEY", "CLIENT_CA")
)
"""Variables that would make the embedded agent speak TLS."""

POLL_S = 0.2
TELL_S = 5.0
"""The time between two lines that say how many workers serve, while not all do."""

PATIENCE_S = 5.0
"""How long the lookup service or the embedded agent may take to stop."""


async def up(settings: UpSettings, stop: asyncio.Event, *, write_line: WriteLine) -> None:
    """Run everything until `stop` is set; `write_line` takes our messages and the children's output.

    Raises SettingsError for a taken port and for TLS files that cannot be used, EndedEarlyError where a child ended
    without which the others cannot serve.
    """
    bind(HOST, settings.port).close()  # fails before anything is started
    if settings.tls is not None:
        server_context(settings.tls)
        if settings.tls.client_ca is not None and settings.trust.cert is None:
            raise SettingsError(
                "With --tls-client-ca this command needs a certificate, too, to ask what it starts: give --cert and "
                "--key, signed by one of those authorities."
            )
    deployment = _LocalDeployment(settings, _session_factory(settings), write_line)
    try:
        await finishes_first(deployment.run(), stop.wait())
    finally:
        await deployment.stop()


def _session_factory(settings: UpSettings) -> Callable[[float], aiohttp.ClientSession]:
    """Makes sessions that trust the lookup service and the agent, with a time limit for each request."""
    trust = settings.trust.verification()

    def session(timeout_s: float) -> aiohttp.ClientSession:
        timeout = aiohttp.ClientTimeout(total=timeout_s)
        return aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(ssl=trust))

    return session


class _LocalDeployment:
    """The child processes, started and stopped in order. `_control_plane` are those that serve no images."""

    def __init__(
        self, settings: UpSettings, session: Callable[[float], aiohttp.ClientSession], write_line: WriteLine
    ) -> None:
        self._settings = settings
        self._session = session
        self._write_line = write_line
        self._control_plane: list[ChildProcess] = []
        self._workers = WorkerPool(self._start_worker, write_line)
        self._environ: Mapping[str, str] = settings.environ
        self._backend: BackendSettings = ConsulSettings()

    async def run(self) -> None:
        self._backend = await find_backend(self._settings, self._write_line, start_agent=self._start_agent)
        self._environ = children_environment(self._settings, self._backend)
        await self._start_registry(self._environ)
        self._write_line(f"Workers: starting {self._settings.workers} with {self._settings.model_served} ...")
        await self._workers.resize(self._settings.workers)
        await finishes_first(self._serve(), self._watch_control_plane(), self._workers.some_run())

    async def _serve(self) -> None:
        """Say when everything is ready, and change the number of workers on request from then on."""
        settings = self._settings
        self._write_line(self._ready_message(await self._wait_until_served()))
        try:
            async with accepting_control(control_path(settings.environ, settings.port), self._scale):
                await asyncio.Event().wait()
        except SettingsError as error:
            self._write_line(f"p2p scale cannot be used: {error}")
            await asyncio.Event().wait()

    async def _scale(self, count: int) -> str:
        """Run `count` workers; returns a sentence when the lookup service hands them out. Raises SettingsError."""
        self._write_line(f"Workers: {count} in place of {len(self._workers)} ...")
        await self._workers.resize(count)
        await self._wait_until_served()
        if len(self._workers) < count:
            raise SettingsError(f"Only {len(self._workers)} of {count} workers run: p2p up shows why the others ended.")
        sentence = (
            f"{count} worker{'s' if count > 1 else ''} of {self._settings.service} serve{'' if count > 1 else 's'}."
        )
        self._write_line(sentence)
        return sentence

    def _ready_message(self, workers: list[str]) -> str:
        settings = self._settings
        example = plain_example(HOST, settings.port, default_port=settings.port == DEFAULT_PORT)
        if settings.tls is not None:
            example = tls_example(settings.lookup_url, settings.trust)
        return ready_message(settings.lookup_url, workers, example, tokens=settings.tokens)

    async def stop(self) -> None:
        started = bool(self._control_plane)
        if started:
            self._write_line("Stopping: the workers finish what they have begun ...")
        await self._workers.stop()
        for child in reversed(self._control_plane):
            await child.stop(patience_s=PATIENCE_S)
        if started:
            self._write_line("All stopped.")

    async def _start_agent(self) -> str:
        port = _free_port(AGENT_PORT)
        url = f"http://{HOST}:{port}"
        self._write_line(f"Consul: none at {DEFAULT_CONSUL_URL}, so the embedded agent is started on {url}.")
        environ = {name: value for name, value in self._settings.environ.items() if name not in _AGENTS_OWN}
        ca = self._settings.trust.ca
        check_ca, log = [] if ca is None else ["--check-ca", str(ca)], self._settings.agent_log_flags
        child = await self._start("agent", ["agent", "--port", str(port), *check_ca, *log], environ)
        self._control_plane.append(child)
        await self._wait_until_answers(f"{url}/v1/status/leader")
        return url

    async def _start_registry(self, environ: Mapping[str, str]) -> None:
        settings = self._settings
        arguments = ["registry", "--host", HOST, "--port", str(settings.port), "--service", settings.service]
        if settings.ticket_keys is not None:
            arguments += ["--ticket-keys", str(settings.ticket_keys)]
        arguments += self._access_flags()
        arguments += [*settings.tls_flags, *settings.trust.as_flags("--check"), *settings.log.as_arguments()]
        self._control_plane.append(await self._start("registry", arguments, environ))
        await self._wait_until_answers(f"{settings.lookup_url}/healthz")

    async def _start_worker(self, number: int) -> ChildProcess:
        settings = self._settings
        arguments = ["worker", "--host", HOST, "--port", "0", "--service", settings.service]
        if settings.ticket_keys is not None:
            arguments.append("--require-ticket")
        arguments += self._access_flags()
        arguments += [f"--cors-origin={origin}" for origin in settings.page_origins]
        if settings.model:
            arguments += ["--model", settings.model]
        if settings.allow_loopback:
            arguments.append("--allow-loopback")
        arguments += [*settings.model_flags, *settings.tls_flags, *settings.log.as_arguments()]
        return await self._start(f"worker {number}", arguments, self._environ)

    def _access_flags(self) -> list[str]:
        tokens = self._settings.tokens
        return [] if tokens is None else ["--tokens", str(tokens)]

    async def _start(self, name: str, arguments: list[str], environ: Mapping[str, str]) -> ChildProcess:
        command = [sys.executable, "-m", "p2pclient", *arguments]
        return await ChildProcess.start(command, name=name, environ=environ, write_line=self._write_line)

    async def _wait_until_answers(self, url: str) -> None:
        """Wait until `url` answers 200.

        Raises EndedEarlyError when a child of the control plane has ended instead, SettingsError where TLS fails.
        """
        async with self._session(2) as session:
            while True:
                for child in self._control_plane:
                    if not child.running:
                        await child.ended()
                        raise EndedEarlyError(f"{child.outcome}: see its last lines above.")
                try:
                    async with session.get(url) as answer:
                        if answer.status == 200:
                            return
                except aiohttp.ClientConnectorCertificateError as error:
                    raise SettingsError(
                        f"The certificate in {self._settings.tls and self._settings.tls.cert} is not good for {url} "
                        f"({verification_fault(error.certificate_error)}): it must name {HOST} as an IP address "
                        "(subjectAltName), and --ca the file of the authority that signed it."
                    ) from error
                except (aiohttp.ClientError, TimeoutError):
                    pass
                await asyncio.sleep(POLL_S)

    async def _wait_until_served(self) -> list[str]:
        """Wait until every worker that still runs is handed out; their addresses."""
        named = self._named_by_registry if self._settings.tokens is None else self._named_by_backend
        began_s = told_s = time.monotonic()
        while True:
            try:
                serving = await named()
            except (aiohttp.ClientError, TimeoutError):
                serving = []  # a lookup service that has ended is noticed by `_watch_control_plane`
            if serving and len(serving) >= len(self._workers):
                return serving
            if time.monotonic() - told_s >= TELL_S:
                told_s = time.monotonic()
                after = f"{len(serving)} of {len(self._workers)} serve after {told_s - began_s:.0f} s"
                self._write_line(f"Workers: {after}; the others load their model ...")
            await asyncio.sleep(POLL_S)

    async def _named_by_registry(self) -> list[str]:
        """The addresses that the lookup service hands out."""
        url = f"{self._settings.lookup_url}/instances/{self._settings.service}"
        async with self._session(5) as session, session.get(url) as answer:
            found = (await answer.json())["instances"] if answer.status == 200 else []
        return [i["address"] for i in found if Health(i["health"]).serving]

    async def _named_by_backend(self) -> list[str]:
        """The addresses that the backend gives the lookup service, which this process has no token to ask."""
        source = open_source(self._backend)
        try:
            async with asyncio.timeout(5):
                instances = (await source.health(self._settings.service)).instances
        except (BackendUnavailable, TimeoutError):
            return []
        finally:
            await source.close()
        return [instance.address for instance in instances if instance.health.serving]

    async def _watch_control_plane(self) -> None:
        """Wait until a child ends without which the workers cannot serve. Raises EndedEarlyError then."""
        ending = [asyncio.create_task(child.ended()) for child in self._control_plane]
        try:
            await asyncio.wait(ending, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in ending:
                task.cancel()
            await asyncio.gather(*ending, return_exceptions=True)
        ended = next(child for child in self._control_plane if not child.running)
        raise EndedEarlyError(f"{ended.outcome}: see its last lines above.")


def _free_port(preferred: int) -> int:
    try:
        listener = bind(HOST, preferred)
    except SettingsError:
        listener = bind(HOST, 0)
    with listener:
        return port_of(listener)
