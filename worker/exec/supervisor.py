"""Runs any server as a worker: starts it on a free port, registers it while it answers, deregisters it before stopping.

A command line with {port} in it becomes a child process; once its health path answers, it is registered with an HTTP
check that Consul runs itself. The child is not restarted, and its exit code becomes the exit code of `p2p exec`.

Another program may take the port after this process has chosen it and before the child binds it. The child then ends,
as servers do that cannot bind, and its exit code and message are passed on. Where /proc shows that a process older
than the child listens there, that process's answers do not count as the child's.

What the child has started ends with it, daemons too on Linux (`worker.exec.orphans`).

Two guarantees are weaker than those of `p2p worker`. When this process is killed, the kernel kills the child (on
Linux) but not what the child has started: COMMAND should be the server itself, not a script around it. And a foreign
health path cannot check the boot id: another server that gets the port of a killed one passes its check.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import uuid
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial

import aiohttp

from registry.backend.checks import Checks
from registry.chosen_backend import check_place
from registry.instances.instance import Instance, stable_id
from registry.runtime.listen import bind, port_of
from registry.runtime.processes.children import ChildProcess
from registry.runtime.tasks.race import finishes_first
from registry.runtime.tasks.supervise import supervised
from worker.advertising.advertised import find_advertised
from worker.advertising.refuse_loopback import refuse_loopback_early
from worker.exec import orphans
from worker.exec.port_owner import older_owner
from worker.exec.settings import ExecSettings
from worker.registration import Registration

logger = logging.getLogger(__name__)

POLL_S = 0.1
"""Between two requests to the health path while the child starts."""

TIMEOUT_S = 1.0
"""For one answer of the health path, to this process and to Consul's check alike."""

TOO_LATE = 1
"""The exit code when the child was stopped because its health path did not answer in time."""

NOT_FOUND, NOT_EXECUTABLE = 127, 126
"""The exit codes of a shell for a command that cannot be started."""

FORWARDED = (signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
"""Signals whose meaning the server defines, such as reloading or rotating logs."""

_LOCAL = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}
"""The address at which this process reaches a server that listens on all addresses."""


async def supervise(settings: ExecSettings) -> int:
    """Run the command until it ends or a signal asks for its end; the exit code, which is the child's if it has one.

    Raises SettingsError for a port that cannot be bound, ConsulUnavailable where Consul must be asked for the address
    to register and does not answer, ConsulRefused where Consul refuses the registration; the child is stopped first.
    """
    instance, port = await _instance(settings)
    command = [argument.replace("{port}", str(port)) for argument in settings.command]
    orphans.adopt()
    try:
        child = await ChildProcess.start(
            command,
            environ={**settings.environ, "PORT": str(port)},
            on_parent_death=signal.SIGKILL,  # a server may take its time over any other signal
        )
    except OSError as error:
        logger.error("%s cannot be started: %s.", command[0], error.strerror)
        return NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_EXECUTABLE
    logger.info("Started %s (process %d).", child.name, child.pid)
    with _Signals(child) as signals:
        late = False
        try:
            async with supervised("reap adopted processes", partial(orphans.reap, child.pid)):
                late = await _register_when_up(settings, instance, port, child, signals)
        finally:
            code = await child.stop(signals.number, patience_s=settings.stop_timeout_s)
            await orphans.end()
    return TOO_LATE if late else code


async def _instance(settings: ExecSettings) -> tuple[Instance, int]:
    """What is registered, and the port on which the child is to listen."""
    check_place(settings.backend, settings.register)
    advertised = await find_advertised(
        settings.advertise, host=settings.host, port=settings.port, backend=settings.backend
    )
    if not settings.allow_loopback:
        await refuse_loopback_early(advertised.host, settings.backend)
    with bind(settings.host, settings.port) as listener:
        listening = port_of(listener)
    host, port = advertised.host, advertised.port(0, listening)
    instance = Instance(
        service=settings.service,
        id=stable_id(settings.service, host, port),
        host=host,
        port=port,
        weight=settings.weight,
        tags=settings.tags,
        boot=uuid.uuid4().hex,
        meta=settings.scheme.meta,
    )
    return instance, listening


async def _register_when_up(
    settings: ExecSettings, instance: Instance, port: int, child: ChildProcess, signals: _Signals
) -> bool:
    """From the start of the child until it may be stopped; True where its health path did not answer in time."""
    here = replace(instance, host=_LOCAL.get(settings.host, settings.host), port=port)
    probe = Probe(_url(here, settings.health_path), port=port, child=child.pid)
    up = await finishes_first(
        probe.until_passing(), child.ended(), signals.asked.wait(), timeout_s=settings.start_timeout_s
    )
    if up:
        await _stay_registered(settings, instance, child, signals, probe)
    elif child.exit_code is not None and not signals.asked.is_set():
        logger.error(
            "The command ended with code %d before it answered %s: its own last lines say why.",
            child.exit_code,
            probe.url,
        )
    elif not signals.asked.is_set():
        logger.error(
            "The command did not answer %s with a 2xx within %g s (last: %s): name a path that does with "
            "--health-path, or give it more time with --start-timeout.",
            probe.url,
            settings.start_timeout_s,
            probe.last,
        )
        return True
    return False


async def _stay_registered(
    settings: ExecSettings, instance: Instance, child: ChildProcess, signals: _Signals, probe: Probe
) -> None:
    """Keep the child registered until it ends, or until a signal has come and the drain grace has passed."""
    checks = Checks(
        health_url=_url(instance, settings.health_path),
        tls_server_name=settings.agent_check_name,
        timeout_s=TIMEOUT_S,
        ttl_s=None,
    )
    async with Registration(
        settings.backend,
        instance,
        checks,
        place=settings.register,
        fit=probe.passes,
        allow_loopback=settings.allow_loopback,
    ) as registration:
        logger.info("Serving on %s.", instance.origin)
        await finishes_first(child.ended(), signals.asked.wait())
        if child.exit_code is not None:
            logger.info("The command ended with code %d.", child.exit_code)
            return
        logger.info("Leaving the rotation; the command is sent %s in %g s.", signals.number.name, settings.drain_s)
        await registration.leave()
        # Requests of clients that looked this server up a moment ago are still on the way.
        await finishes_first(child.ended(), timeout_s=settings.drain_s)


def _url(instance: Instance, path: str) -> str:
    return f"{instance.origin}/{path.removeprefix('/')}"


class Probe:
    """Requests the child's health path as Consul's check does: a GET, redirects followed, 2xx passes.

    A 3xx or 4xx does not pass: a server that Consul's check calls critical must not be registered as passing. A 429
    is a warning to Consul; from a server that starts it means that the server is not ready. No certificate is verified:
    this process started the server, whose certificate need not name this address. Consul's check verifies it.
    """

    def __init__(self, url: str, *, port: int, child: int) -> None:
        self.url = url
        self.last = "no request was sent yet"
        self._port = port
        self._child = child

    async def until_passing(self) -> None:
        """Return when it passes."""
        while not await self.passes():  # noqa: ASYNC110  no event tells of another process's readiness
            await asyncio.sleep(POLL_S)

    async def passes(self) -> bool:
        """Whether it passes now; `last` then says in words what was answered. May be called from any event loop."""
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.get(self.url, ssl=False) as answer,
            ):
                outcome, passes = f"{answer.status} {answer.reason}", 200 <= answer.status < 300
        except (aiohttp.ClientError, OSError, ValueError) as error:  # ValueError: redirected to what is no URL
            self.last = str(error) or "no answer in time"
            return False
        stranger = older_owner(self._port, child=self._child) if passes else None
        # Set only now, after the last await: `last` must never show a stranger's answer as the child's.
        self.last = outcome
        if stranger is not None:
            self.last = f"port {self._port} was taken by process {stranger.pid}, {stranger.name}, in between"
        return passes and stranger is None


class _Signals(AbstractContextManager["_Signals"]):
    """Signals to this process become events for it, or are forwarded to the child.

    The first SIGTERM or SIGINT sets `asked`, and sets `number` to the signal with which to stop the child. The second
    one kills the child, whose end then ends this process; the third one ends this process at once.
    """

    def __init__(self, child: ChildProcess) -> None:
        self.asked = asyncio.Event()
        self.number = signal.SIGTERM
        self._child = child
        self._forced = False
        self._loop = asyncio.get_running_loop()

    def __enter__(self) -> _Signals:
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._end, number)
        for number in FORWARDED:
            if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup, which holds for the child as well
                self._loop.add_signal_handler(number, self._child.send, number)
        return self

    def __exit__(self, *_: object) -> None:
        for number in (signal.SIGTERM, signal.SIGINT, *FORWARDED):
            self._loop.remove_signal_handler(number)

    def _end(self, number: signal.Signals) -> None:
        if self._forced:
            os._exit(128 + number)
        elif self.asked.is_set():
            self._forced = True
            self._child.send(signal.SIGKILL)
        else:
            self.number = number
            self.asked.set()
