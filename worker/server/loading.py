"""Loads the models of a worker's ports one after the other, and says every few seconds what it waits for."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from functools import partial

from registry.runtime.tasks.supervise import supervised
from worker.server.admin_routes import reasons_not_ready
from worker.server.model_endpoint import ModelEndpoint

logger = logging.getLogger(__name__)

TOLD_EVERY_S = 5.0


async def load_models(endpoints: Sequence[ModelEndpoint]) -> None:
    """Load all of them. Raises ModelError."""
    async with supervised("say what is being loaded", partial(_say_what_loads, endpoints)):
        for endpoint in endpoints:
            await endpoint.store.load()


async def _say_what_loads(endpoints: Sequence[ModelEndpoint]) -> None:
    """Write a line every few seconds: for seconds or minutes nothing else is told."""
    since_s = time.monotonic()
    while True:
        await asyncio.sleep(TOLD_EVERY_S)
        waiting = [reason for each in endpoints for reason in reasons_not_ready(each.store, ready=True, leaving=False)]
        logger.info("Loading for %.0f s: %s", time.monotonic() - since_s, " ".join(waiting))
