"""Keeps the last good snapshots on disk, so that a lookup service that starts while Consul is away still answers.

The file is written when something has changed, and every minute to renew the age; it is read once at the start. It
says from which Consul it comes, and is ignored where another one is followed.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from registry.consul.instance import Health, Instance
from registry.discovery.snapshot import Snapshot

logger = logging.getLogger(__name__)

FORMAT = 2

SETTLE_S = 0.5
"""How long further changes are waited for before a write: changes come in bursts."""

REFRESH_S = 60.0
"""The longest time between two writes."""


@dataclass(frozen=True, slots=True)
class SavedSnapshot:
    """A snapshot, and when Consul last confirmed it (seconds since 1970)."""

    snapshot: Snapshot
    confirmed_at: float


def load(path: Path, *, consul: str) -> dict[str, SavedSnapshot]:
    """The snapshots that were saved, by service.

    Nothing where the file is missing, damaged, of another format, or from another Consul than that at URL `consul`.
    """
    try:
        content = json.loads(path.read_text("utf-8"))
        if content["format"] != FORMAT:
            return {}
        if content["consul"] != consul:
            logger.warning(
                "The last good set in %s is that of Consul at %s: starting without.", path, content["consul"]
            )
            return {}
        return {entry["service"]: _saved(entry) for entry in content["services"]}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        logger.warning("The last good set in %s cannot be used (%s): starting without.", path, error)
        return {}


def save(path: Path, snapshots: Iterable[SavedSnapshot], *, consul: str) -> None:
    """Write all at once: a reader sees the old file or the new one, never half of it."""
    content = {"format": FORMAT, "consul": consul, "services": [_entry(saved) for saved in snapshots]}
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


def as_saved(snapshot: Snapshot, confirmed_s: float | None) -> SavedSnapshot | None:
    """A snapshot as it is saved; None for one that Consul never confirmed. `confirmed_s` is monotonic."""
    if confirmed_s is None or not snapshot.known:
        return None
    return SavedSnapshot(snapshot, time.time() - (time.monotonic() - confirmed_s))


def _entry(saved: SavedSnapshot) -> dict[str, Any]:
    snapshot = saved.snapshot
    return {
        "service": snapshot.service,
        "index": snapshot.index,
        "confirmed_at": saved.confirmed_at,
        "proven": sorted(snapshot.proven),
        "instances": [asdict(i) | {"meta": dict(i.meta)} for i in snapshot.instances],
    }


def _saved(entry: Mapping[str, Any]) -> SavedSnapshot:
    snapshot = Snapshot(
        service=str(entry["service"]),
        instances=tuple(_instance(i) for i in entry["instances"]),
        index=int(entry["index"]),
        proven=frozenset(map(str, entry["proven"])),
        stale=True,
        known=True,
    )
    return SavedSnapshot(snapshot, float(entry["confirmed_at"]))


def _instance(entry: Mapping[str, Any]) -> Instance:
    fields = dict(entry)
    return Instance(**fields | {"tags": tuple(fields["tags"]), "health": Health(fields["health"])})
