"""An event, one thing that happened to a worker, a version, a service or the lookup service, as a frozen value."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any


class Kind(enum.StrEnum):
    """What can happen."""

    JOINED = "joined"
    LEFT = "left"
    CRITICAL = "critical"
    HEALTHY = "healthy"
    DRAINED = "drained"
    UNDRAINED = "undrained"
    VERSION_LOADING = "version-loading"
    VERSION_LOADED = "version-loaded"
    VERSION_UNLOADED = "version-unloaded"
    VERSION_FAILED = "version-failed"
    PANIC_ON = "panic-on"
    PANIC_OFF = "panic-off"
    STALE = "stale"
    FRESH = "fresh"
    KEY_ROTATED = "key-rotated"
    CONFIGURATION = "configuration"

    @property
    def warns(self) -> bool:
        """Whether somebody should look."""
        return self in (Kind.CRITICAL, Kind.VERSION_FAILED, Kind.PANIC_ON, Kind.PANIC_OFF, Kind.STALE)


@dataclass(frozen=True, slots=True)
class Event:
    """What happened, as one plain sentence `text` and as fields; a field that does not apply is "".

    `worker` is an instance's id, `address` its `host:port`.
    """

    kind: Kind
    text: str
    service: str = ""
    worker: str = ""
    address: str = ""
    version: str = ""

    @property
    def fields(self) -> Mapping[str, str]:
        """The fields that apply, for a log line; the sentence is not among them."""
        named = {
            "service": self.service,
            "worker": self.worker,
            "address": self.address,
            "version": self.version,
        }
        return {"event": self.kind.value} | {name: value for name, value in named.items() if value}


@dataclass(frozen=True, slots=True)
class RecordedEvent:
    """An event with its number in the log that keeps it, from 1, and when it happened, in seconds since 1970."""

    number: int
    at_s: float
    event: Event

    def as_json(self) -> dict[str, Any]:
        """The event as a JSON object; every field is there."""
        event = self.event
        return {
            "number": self.number,
            "at": round(self.at_s, 3),
            "time": datetime.fromtimestamp(self.at_s, UTC).isoformat(timespec="milliseconds"),
            "kind": event.kind.value,
            "service": event.service,
            "worker": event.worker,
            "address": event.address,
            "version": event.version,
            "text": event.text,
        }
