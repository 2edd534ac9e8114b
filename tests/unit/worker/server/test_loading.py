"""A worker that loads says so."""

from __future__ import annotations

import asyncio
import logging
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.event_loops.virtual_time import run
from worker.artifacts.version_plan import VersionStatus
from worker.server.loading import load_models


def test_a_line_every_few_seconds_says_what_is_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    """Loading may take minutes in which nothing else is told; afterwards there are no more lines."""
    caplog.set_level(logging.INFO)

    async def loads() -> None:
        await asyncio.sleep(12)

    store: Any = SimpleNamespace(
        name="classify", loaded={}, load=loads, statuses=lambda: [VersionStatus("3", "LOADING")]
    )

    async def scenario() -> None:
        await load_models([SimpleNamespace(store=store)])  # type: ignore[list-item]  # all that is asked of it
        await asyncio.sleep(60)

    run(scenario())
    assert caplog.messages == [
        "Loading for 5 s: The model classify is not loaded yet: version 3 is being loaded.",
        "Loading for 10 s: The model classify is not loaded yet: version 3 is being loaded.",
    ]
