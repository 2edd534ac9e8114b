"""A worker's registration in the backend: registers, sends heartbeats, registers again when forgotten, deregisters.

It runs in a thread with an event loop of its own, so that heartbeats are sent on time however busy the worker is:
with heartbeats missed under load, a healthy worker would leave and rejoin the rotation again and again.
"""

from __future__ import annotations

import asyncio
import logging
import random
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from functools import partial
from typing import Any

from registry.backend.checks import Checks
from registry.backend.errors import BackendRefused, BackendUnavailable, CredentialsRefused, Forgotten
from registry.backend.registrar import LEAVING, Registrar
from registry.chosen_backend import BackendSettings, open_registrar
from registry.instances.instance import Instance, RegisterAt
from registry.runtime.tasks.supervise import cancel_all, start_supervised
from worker.advertising.refuse_loopback import refuse_loopback

logger = logging.getLogger(__name__)

HEARTBEAT_S = 5.0
"""A third of the check's TTL: two heartbeats may be lost."""

AUDIT_S = 30.0
"""The time between two questions whether the agent still holds the registration, where heartbeats show it too."""

FIRST_AUDIT_S = 8.0
"""The time before the first of these questions: by then the health check has failed if it cannot reach the worker."""

FAREWELL_S = 3.0
"""The longest that leaving may take when the backend does not answer; it removes what it cannot reach."""


class Registration:
    """Keeps `instance` registered while the context is open.

    Registers on entry (raises BackendRefused where the backend refuses; where it does not answer, tries again in the
    background), sends heartbeats while `moving()` is true, registers again whenever the backend has forgotten the
    instance, deregisters on exit. `place` says where in Consul: at the agent or in the catalogue. Where `checks` have
    no `ttl_s` there are no heartbeats, and the backend is asked as often whether it still knows the instance.

    `fit()` is called before every registration but the first: a worker that was removed because it hangs must not
    come back as passing while it still hangs. Both are called from the registration's own thread.

    A loopback address is refused (BackendRefused) where other machines use this backend, unless
    `allow_loopback` says that clients are on this machine.
    """

    def __init__(
        self,
        backend: BackendSettings,
        instance: Instance,
        checks: Checks,
        *,
        place: RegisterAt = RegisterAt.AGENT,
        moving: Callable[[], bool] = lambda: True,
        fit: Callable[[], Awaitable[bool]] | None = None,
        allow_loopback: bool = False,
    ) -> None:
        self._backend = backend
        self._place = place
        self._instance = instance
        self._checks = checks
        self._moving = moving
        self._fit = fit
        self._allow_loopback = allow_loopback
        self._audit_s = AUDIT_S if checks.ttl_s else 0.0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="registration", daemon=True)
        self._registrar: Registrar | None = None
        self._task: asyncio.Task[None] | None = None
        self._updated = asyncio.Event()
        self._left = False
        self._registered = False
        self._check_failure: str | None = None  # what the check of its health path found at the last audit

    async def __aenter__(self) -> Registration:
        self._thread.start()
        try:
            await self._on_thread(self._begin())
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            await self._on_thread(self._end())
        finally:
            await self._close()

    @property
    def instance(self) -> Instance:
        """The instance that is registered, or is about to be."""
        return self._instance

    async def update(self, instance: Instance) -> None:
        """Register another version, tags or meta under the same id, soon and as often as it takes.

        The checks keep their state and an operator's maintenance stays, because nothing is deregistered in between.
        """
        await self._on_thread(self._update(instance))

    async def leave(self) -> None:
        """Leave the rotation, still registered: clients stop being sent here. Returns when the backend knows."""
        await self._on_thread(self._leave())

    async def _on_thread(self, work: Coroutine[Any, Any, None]) -> None:
        future: Future[None] = asyncio.run_coroutine_threadsafe(work, self._loop)
        await asyncio.wrap_future(future)

    async def _begin(self) -> None:
        self._registrar = open_registrar(self._backend, self._place)
        self._registered = await self._try_to_register(self._registrar)
        self._task = start_supervised(f"heartbeats of {self._instance.id}", partial(self._stay, self._registrar))

    async def _update(self, instance: Instance) -> None:
        self._instance = instance
        self._updated.set()

    async def _updated_before(self, until_s: float) -> bool:
        """Wait for an update, at most until then; whether there is one."""
        try:
            async with asyncio.timeout(until_s - time.monotonic()):
                await self._updated.wait()
        except TimeoutError:
            return False
        self._updated.clear()
        return True

    async def _stay(self, registrar: Registrar) -> None:
        """Send heartbeats, ask whether the registration still exists, and register again as often as it takes."""
        audit_at_s = time.monotonic() + min(self._audit_s, FIRST_AUDIT_S)
        beat_at_s = _next_beat_s()
        while True:
            if await self._updated_before(beat_at_s):
                self._registered = await self._register_if_fit(registrar)
                continue
            beat_at_s = _next_beat_s()
            if not self._registered:
                self._registered = await self._register_if_fit(registrar)
                continue
            try:
                self._registered = await self._heartbeat(registrar)
                if self._registered and time.monotonic() >= audit_at_s:
                    audit_at_s = time.monotonic() + self._audit_s
                    self._registered = await self._audit(registrar)
            except (BackendUnavailable, BackendRefused) as error:
                logger.warning("%s could not be told or asked: %s", registrar.product, error)
            if not self._registered:
                self._log_forgotten(registrar)
                self._registered = await self._register_if_fit(registrar)

    async def _audit(self, registrar: Registrar) -> bool:
        """Whether the registration is still held; a health check that begins or ceases to fail is logged.

        Only the backend knows why its check fails: where it cannot reach the advertised address, this worker sees
        nothing.
        """
        known = await registrar.knows(self._instance.id, boot=self._instance.boot)
        try:
            failure = await registrar.failing_check(self._instance.id) if known else self._check_failure
        except BackendRefused:  # a token that may register but not read
            return known
        product, id_ = registrar.product, self._instance.id
        if failure and not self._check_failure:
            logger.warning("%s's check of %s fails, so clients are not sent here: %s", product, id_, failure)
        elif self._check_failure and not failure:
            logger.info("%s's check of %s passes again.", product, id_)
        self._check_failure = failure
        return known

    def _log_forgotten(self, registrar: Registrar) -> None:
        product, id_ = registrar.product, self._instance.id
        if self._check_failure:
            sentence = "%s has removed %s, because its check fails: %s. Registering again."
            logger.warning(sentence, product, id_, self._check_failure.rstrip("."))
        else:
            logger.warning("%s has forgotten %s: registering again.", product, id_)

    async def _register_if_fit(self, registrar: Registrar) -> bool:
        if self._fit is not None and not await self._fit():
            logger.warning("%s stays unregistered until it is well.", self._instance.id)
            return False
        return await self._try_to_register(registrar)

    async def _heartbeat(self, registrar: Registrar) -> bool:
        """Send one; whether the backend knows the registration. True where there are no heartbeats."""
        if not self._checks.ttl_s:
            return True
        try:
            if self._moving():
                await registrar.heartbeat(self._instance.id)
            else:
                await registrar.silence(self._instance.id, note="the prediction loop does not move")
        except Forgotten:
            return False
        return True

    async def _try_to_register(self, registrar: Registrar) -> bool:
        try:
            if not self._allow_loopback:
                await refuse_loopback(self._instance.host, self._backend)
            await registrar.register(self._instance, self._checks)
        except BackendUnavailable as error:
            logger.warning("%s Serving unregistered, trying again.", error)
            return False
        except BackendRefused as error:
            # At the start this is an error of the set-up, later perhaps a rotated token. But an agent that has just
            # started and reaches no server refuses every token, because it cannot look one up.
            unchecked = isinstance(error, CredentialsRefused) and not await registrar.has_leader()
            if self._task is None and not unchecked:
                raise
            logger.warning("%s Serving unregistered, trying again.", error)
            return False
        logger.info("Registered as %s.", self._instance.id)
        return True

    async def _leave(self) -> None:
        if self._registrar is None or self._left:
            return
        self._left = True
        if self._task is not None:
            await cancel_all(self._task)
        await self._within_farewell(
            lambda registrar: registrar.maintenance(self._instance.id, enable=True, reason=LEAVING)
        )

    async def _end(self) -> None:
        await self._leave()
        await self._within_farewell(lambda registrar: registrar.deregister(self._instance.id))

    async def _within_farewell(self, say: Callable[[Registrar], Awaitable[None]]) -> None:
        assert self._registrar is not None
        try:
            async with asyncio.timeout(FAREWELL_S):
                await say(self._registrar)
        except (TimeoutError, BackendUnavailable, BackendRefused) as error:
            logger.warning("Leaving without %s: %s", self._registrar.product, error or "no answer in time")
        except Forgotten:
            return

    async def _close(self) -> None:
        if self._registrar is not None:
            await self._on_thread(self._registrar.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        await asyncio.to_thread(self._thread.join)
        self._loop.close()


def _next_beat_s() -> float:
    return time.monotonic() + HEARTBEAT_S * random.uniform(0.9, 1.0)
