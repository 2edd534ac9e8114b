"""`p2p up`: runs Consul (or the embedded agent), the lookup service and workers on this machine as child processes.

It starts the commands that a user would start by hand, waits until the lookup service hands the workers out, and
prints a command to try. On a signal it stops the workers first, while Consul and the lookup service still run.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import shlex
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import aiohttp

from registry.consul.catalog import Catalog
from registry.consul.errors import ConsulUnavailable
from registry.consul.instance import Health
from registry.consul.settings import DEFAULT_CONSUL_URL, ConsulSettings
from registry.runtime.children import ChildProcess, WriteLine
from registry.runtime.errors import SettingsError
from registry.runtime.listen import bind, port_of
from registry.runtime.race import finishes_first

HOST = "127.0.0.1"
AGENT_PORT = 8500
DEFAULT_PORT = 12480
"""The port of the lookup service that clients ask by default."""

_OTHER_CONSULS = frozenset(("P2P_CONSUL", "P2P_REGISTRY_CONSUL", "P2P_WORKER_CONSUL"))
"""Variables that the children would use in place of the Consul that is chosen for all of them."""

POLL_S = 0.2

WORKER_PATIENCE_S = 40.0
"""How long a worker may take to stop: longer than its drain grace and the time for requests in flight together."""

PATIENCE_S = 5.0
"""How long the lookup service or the embedded agent may take to stop."""


@dataclass(frozen=True, slots=True)
class UpSettings:
    """What `p2p up` takes; `environ` is the environment of the child processes.

    `ticket_keys` is the folder with the keys of the lookup service's tickets, which workers then require. `tokens` is
    the file with the tokens that the lookup service and the workers ask for.
    `model_flags` are flags of `p2p worker` about the model, each with its value, which all workers get.
    """

    environ: Mapping[str, str] = field(repr=False)  # it may hold tokens
    workers: int = 2
    model: str | None = None
    service: str = "classify"
    port: int = DEFAULT_PORT
    consul: str | None = None
    ticket_keys: Path | None = None
    tokens: Path | None = None
    model_flags: tuple[str, ...] = ()


class EndedEarlyError(Exception):
    """A child process ended by itself, and what is left cannot serve."""


async def up(settings: UpSettings, stop: asyncio.Event, *, write_line: WriteLine) -> None:
    """Run everything until `stop` is set; `write_line` takes our messages and the children's output.

    Raises SettingsError for a taken port, EndedEarlyError where a child ended without which the others cannot serve.
    """
    bind(HOST, settings.port).close()  # fails before anything is started
    deployment = _LocalDeployment(settings, write_line)
    try:
        await finishes_first(deployment.run(), stop.wait())
    finally:
        await deployment.stop()


class _LocalDeployment:
    """The child processes, started and stopped in order. `_control_plane` are those that serve no images."""

    def __init__(self, settings: UpSettings, write_line: WriteLine) -> None:
        self._settings = settings
        self._write_line = write_line
        self._control_plane: list[ChildProcess] = []
        self._workers: list[ChildProcess] = []
        self._consul = ConsulSettings()

    async def run(self) -> None:
        environ = await self._with_consul()
        await self._start_registry(environ)
        await self._start_workers(environ)
        watch = asyncio.create_task(self._watch())
        ready = asyncio.create_task(self._wait_until_served())
        try:
            await asyncio.wait((watch, ready), return_when=asyncio.FIRST_COMPLETED)
            if watch.done():
                watch.result()
            self._write_line(_ready_message(self._settings, ready.result()))
            await watch
        finally:
            watch.cancel()
            ready.cancel()
            await asyncio.gather(watch, ready, return_exceptions=True)

    async def stop(self) -> None:
        started = bool(self._workers or self._control_plane)
        if started:
            self._write_line("Stopping: the workers finish what they have begun ...")
        await asyncio.gather(*(worker.stop(patience_s=WORKER_PATIENCE_S) for worker in self._workers))
        for child in reversed(self._control_plane):
            await child.stop(patience_s=PATIENCE_S)
        if started:
            self._write_line("All stopped.")

    async def _with_consul(self) -> Mapping[str, str]:
        """The environment in which children reach Consul, which is started where none answers."""
        settings = self._settings
        environ = {name: value for name, value in settings.environ.items() if name not in _OTHER_CONSULS}
        named = settings.consul or settings.environ.get("CONSUL_HTTP_ADDR")
        consul = ConsulSettings.from_environment(settings.environ, url=named)
        catalog = Catalog(consul, timeout_s=5.0)
        try:
            version = await catalog.version()
        except ConsulUnavailable as error:
            if named:
                raise SettingsError(f"{error} Start it, or unset CONSUL_HTTP_ADDR to use our own.") from error
            self._consul = replace(consul, url=await self._start_agent())
            return environ | {"CONSUL_HTTP_ADDR": self._consul.url}
        finally:
            await catalog.close()
        self._consul = consul
        self._write_line(f"Consul: the one at {consul.url} (version {version}).")
        return environ | consul.as_environment()

    async def _start_agent(self) -> str:
        port = _free_port(AGENT_PORT)
        url = f"http://{HOST}:{port}"
        self._write_line(f"Consul: none at {DEFAULT_CONSUL_URL}, so the embedded agent is started on {url}.")
        child = await self._start("agent", ["agent", "--port", str(port)], self._settings.environ)
        self._control_plane.append(child)
        await self._wait_until_answers(f"{url}/v1/status/leader")
        return url

    async def _start_registry(self, environ: Mapping[str, str]) -> None:
        settings = self._settings
        arguments = ["registry", "--host", HOST, "--port", str(settings.port), "--service", settings.service]
        if settings.ticket_keys is not None:
            arguments += ["--ticket-keys", str(settings.ticket_keys)]
        arguments += self._access_flags()
        self._control_plane.append(await self._start("registry", arguments, environ))
        await self._wait_until_answers(f"http://{HOST}:{settings.port}/healthz")

    async def _start_workers(self, environ: Mapping[str, str]) -> None:
        settings = self._settings
        self._write_line(f"Workers: starting {settings.workers} with {_model_served(settings)} ...")
        arguments = ["worker", "--host", HOST, "--port", "0", "--service", settings.service]
        if settings.ticket_keys is not None:
            arguments.append("--require-ticket")
        arguments += self._access_flags()
        if settings.model:
            arguments += ["--model", settings.model]
        arguments += settings.model_flags
        for number in range(1, settings.workers + 1):
            self._workers.append(await self._start(f"worker {number}", arguments, environ))

    def _access_flags(self) -> list[str]:
        tokens = self._settings.tokens
        return [] if tokens is None else ["--tokens", str(tokens)]

    async def _start(self, name: str, arguments: list[str], environ: Mapping[str, str]) -> ChildProcess:
        command = [sys.executable, "-m", "p2pclient", *arguments]
        return await ChildProcess.start(command, name=name, environ=environ, write_line=self._write_line)

    async def _wait_until_answers(self, url: str) -> None:
        """Wait until `url` answers 200. Raises EndedEarlyError when a child of the control plane has ended instead."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as session:
            while True:
                for child in self._control_plane:
                    if not child.running:
                        await child.ended()
                        raise EndedEarlyError(f"{child.outcome}: see its last lines above.")
                try:
                    async with session.get(url) as answer:
                        if answer.status == 200:
                            return
                except (aiohttp.ClientError, TimeoutError):
                    pass
                await asyncio.sleep(POLL_S)

    async def _wait_until_served(self) -> list[str]:
        """Wait until every worker that still runs is handed out; their addresses."""
        named = self._named_by_registry if self._settings.tokens is None else self._named_by_consul
        while True:
            serving = await named()
            if len(serving) >= sum(worker.running for worker in self._workers):
                return serving
            await asyncio.sleep(POLL_S)

    async def _named_by_registry(self) -> list[str]:
        """The addresses that the lookup service hands out."""
        url = f"http://{HOST}:{self._settings.port}/instances/{self._settings.service}"
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session,
            session.get(url) as answer,
        ):
            found = (await answer.json())["instances"] if answer.status == 200 else []
        return [i["address"] for i in found if Health(i["health"]).serving]

    async def _named_by_consul(self) -> list[str]:
        """The addresses that Consul gives the lookup service, which this process has no token to ask."""
        catalog = Catalog(self._consul, timeout_s=5.0)
        try:
            instances = (await catalog.health(self._settings.service)).instances
        except ConsulUnavailable:
            return []
        finally:
            await catalog.close()
        return [instance.address for instance in instances if instance.health.serving]

    async def _watch(self) -> None:
        """Report every child that ends. Raises EndedEarlyError when the children that are left cannot serve."""
        children = (*self._control_plane, *self._workers)
        waiting = {asyncio.create_task(child.ended()): child for child in children}
        try:
            while waiting:
                done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    child = waiting.pop(task)
                    if child in self._control_plane or not any(worker.running for worker in self._workers):
                        raise EndedEarlyError(f"{child.outcome}: see its last lines above.")
                    self._write_line(f"{child.outcome}; the others go on.")
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)


def _model_served(settings: UpSettings) -> str:
    """What the workers serve, in the middle of a sentence."""
    if settings.model:
        return settings.model
    flags = dict(itertools.pairwise(settings.model_flags))
    return "no model (the engine echo)" if flags.get("--engine") == "echo" else "the ImageNet model EfficientNet-Lite0"


def _free_port(preferred: int) -> int:
    try:
        listener = bind(HOST, preferred)
    except SettingsError:
        listener = bind(HOST, 0)
    with listener:
        return port_of(listener)


def _ready_message(settings: UpSettings, addresses: list[str]) -> str:
    """What is ready, and lines to try that work as they are typed in this folder."""
    cat = shlex.quote(os.path.relpath(Path(__file__).with_name("cat.jpg")))
    p2p = _p2p_as_typed()
    registry = "" if settings.port == DEFAULT_PORT else f" --registry {HOST}:{settings.port}"
    with_token = ""
    if settings.tokens is not None:
        with_token = (
            f"They answer callers of {settings.tokens} only: set P2P_TOKEN for p2p, and give each curl\n"
            '-H "Authorization: Bearer $P2P_TOKEN".\n\n'
        )
    return (
        f"\nReady: the lookup service on http://{HOST}:{settings.port}, workers on {', '.join(addresses)}.\n\n"
        f"{with_token}Try:\n"
        f"    curl -F data=@{cat} localhost:`curl -s localhost:{settings.port}`\n"
        f"    {p2p} classify{registry} {cat}\n"
        f"    {p2p} status{registry}\n\n"
        "Ctrl-C stops everything."
    )


def _p2p_as_typed() -> str:
    """`p2p` where the shell finds that of this environment, else its path from this folder."""
    script = Path(sys.executable).with_name("p2p")
    if not script.exists():
        return f"{shlex.quote(sys.executable)} -m p2pclient"
    found = shutil.which("p2p")
    return "p2p" if found and Path(found).samefile(script) else shlex.quote(os.path.relpath(script))
