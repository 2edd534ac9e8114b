"""The last good beliefs on disk, so that a lookup service that starts while Consul is away still answers.

Written when something changed, and once a minute for the age; read once at the start, and believed only where
Consul does not answer. Losing the file costs nothing but that.
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
from pathlib import Path
from typing import Any

from registry.consul.instance import Health, Instance, Snapshot
from registry.discovery.reconcile import Belief

logger = logging.getLogger(__name__)

FORMAT = 1
SETTLE_S = 0.5
"""Changes come in bursts; one write takes them all."""

REFRESH_S = 60.0


@dataclass(frozen=True, slots=True)
class Saved:
    """A belief, and when Consul last confirmed it (seconds since 1970)."""

    belief: Belief
    confirmed_at: float


def load(path: Path) -> dict[str, Saved]:
    """What was saved, by service; nothing where the file is missing, damaged or of another format."""
    try:
        content = json.loads(path.read_text("utf-8"))
        if content["format"] != FORMAT:
            return {}
        return {entry["service"]: _saved(entry) for entry in content["services"]}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError) as error:
        logger.warning("The last good set in %s cannot be used (%s): starting without.", path, error)
        return {}


def save(path: Path, saved: Iterable[Saved]) -> None:
    """Write all at once: a reader sees the old file or the new one, never half of it."""
    content = {"format": FORMAT, "services": [_entry(s) for s in saved]}
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(content, file)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


async def keep_saved(path: Path, current: Callable[[], Iterable[Saved]], changed: asyncio.Event) -> None:
    """Save what `current()` gives whenever `changed` was set, and every minute, until cancelled."""
    while True:
        try:
            async with asyncio.timeout(REFRESH_S):
                await changed.wait()
            await asyncio.sleep(SETTLE_S)
        except TimeoutError:
            pass
        changed.clear()
        try:
            await asyncio.to_thread(save, path, list(current()))
        except OSError as error:
            logger.warning("The last good set could not be written to %s: %s.", path, error)


def as_saved(belief: Belief, confirmed_s: float | None) -> Saved | None:
    """A belief as it is saved; None for one that Consul never confirmed. `confirmed_s` is monotonic."""
    if confirmed_s is None or not belief.known:
        return None
    return Saved(belief, time.time() - (time.monotonic() - confirmed_s))


def _entry(saved: Saved) -> dict[str, Any]:
    snapshot = saved.belief.snapshot
    return {
        "service": snapshot.service,
        "index": saved.belief.index,
        "confirmed_at": saved.confirmed_at,
        "proven": sorted(saved.belief.proven),
        "instances": [asdict(i) | {"meta": dict(i.meta)} for i in snapshot.instances],
    }


def _saved(entry: Mapping[str, Any]) -> Saved:
    instances = tuple(_instance(i) for i in entry["instances"])
    belief = Belief(
        snapshot=Snapshot(str(entry["service"]), int(entry["index"]), instances),
        index=int(entry["index"]),
        proven=frozenset(map(str, entry["proven"])),
        stale=True,
        known=True,
    )
    return Saved(belief, float(entry["confirmed_at"]))


def _instance(entry: Mapping[str, Any]) -> Instance:
    fields = dict(entry)
    return Instance(**fields | {"tags": tuple(fields["tags"]), "health": Health(fields["health"])})
