"""Chooses the event loop that the registry's tests run on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import pytest

from tests.support.event_loops.slow_callbacks import MeasuredUvloop


def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The proxy's tests run on uvloop, as `p2p proxy` does: flow control depends on the loop's buffers."""
    if item.path.parent.name == "proxy":
        return {"uvloop": MeasuredUvloop}
    return {"asyncio": asyncio.new_event_loop}
