"""How many tasks an event loop has: a number that grows without end shows a leak."""

from __future__ import annotations

import asyncio


def unfinished_tasks() -> int:
    """The tasks of the running event loop that have not ended; 0 in a thread without one."""
    try:
        return len(asyncio.all_tasks())
    except RuntimeError:
        return 0
