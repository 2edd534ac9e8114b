"""Keeps the last good snapshots on disk, so that a lookup service that starts while the backend is away still answers.

The file is written when something has changed, and every minute to renew the age; it is read once at the start. It
says from which backend it comes, and is ignored where another one is followed. A file that is damaged is set aside, so
that it can be looked at; `saved_snapshot` reads its entries.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import stat
import tempfile
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

from registry.discovery.saved.saved_snapshot import SavedSnapshot, as_entry, read_saved
from registry.discovery.snapshot import Snapshot
from registry.rollout.record import Rollout

logger = logging.getLogger(__name__)

FORMAT = 2

SETTLE_S = 0.5
"""How long further changes are waited for before a write: changes come in bursts."""

FILE_AT_MOST_BYTES = 256 << 20

REFRESH_S = 60.0
"""The longest time between two writes."""


def load(path: Path, *, consul: str) -> dict[str, SavedSnapshot]:
    """The snapshots that were saved, by service.

    Nothing where the file is missing, damaged (it is kept under another name then), of another format, or from another
    backend than that at URL `consul`.
    """
    try:
        content = _content(path)
        if content["format"] != FORMAT:
            return {}
        if content["consul"] != consul:
            logger.warning(
                "The last good set in %s is that of another backend, %a: starting without.", path, content["consul"]
            )
            return {}
        return {saved.snapshot.service: saved for saved in map(read_saved, content["services"])}
    except FileNotFoundError:
        return {}
    except OSError as error:
        logger.warning("The last good set in %s cannot be read (%s): starting without.", path, error)
        return {}
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        aside = path.with_name(f"{path.name}.damaged")
        logger.warning(
            "The last good set in %s cannot be used (%.200r): kept as %s, starting without.", path, error, aside
        )
        with contextlib.suppress(OSError):
            aside.unlink(missing_ok=True)
            aside.hardlink_to(path)  # the next write replaces `path` alone
        return {}


def _content(path: Path) -> Any:
    """The file's JSON. Raises OSError where it is no regular file, ValueError where it is too large or no JSON."""
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:  # a FIFO would block
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise OSError("it is no regular file")
        if status.st_size > FILE_AT_MOST_BYTES:
            raise ValueError(f"it is larger than {FILE_AT_MOST_BYTES >> 20} MiB")
        return json.loads(file.read(), parse_constant=_no_constant)


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def save(path: Path, snapshots: Iterable[SavedSnapshot], *, consul: str) -> None:
    """Write all at once: a reader sees the old file or the new one, never half of it."""
    content = {"format": FORMAT, "consul": consul, "services": [as_entry(saved) for saved in snapshots]}
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(content, file)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


async def keep_saved(
    path: Path, current: Callable[[], Iterable[SavedSnapshot]], changed: asyncio.Event, *, consul: str
) -> None:
    """Save what `current()` returns whenever `changed` was set, and every minute, until cancelled."""
    while True:
        try:
            async with asyncio.timeout(REFRESH_S):
                await changed.wait()
            await asyncio.sleep(SETTLE_S)
        except TimeoutError:
            pass
        changed.clear()
        try:
            await asyncio.to_thread(partial(save, path, list(current()), consul=consul))
        except OSError as error:
            logger.warning("The last good set could not be written to %s: %s.", path, error)


def as_saved(snapshot: Snapshot, confirmed_s: float | None, rollout: Rollout | None = None) -> SavedSnapshot | None:
    """A snapshot as it is saved; None for one that the backend never confirmed. `confirmed_s` is monotonic."""
    if confirmed_s is None or not snapshot.known:
        return None
    return SavedSnapshot(snapshot, time.time() - (time.monotonic() - confirmed_s), rollout)
