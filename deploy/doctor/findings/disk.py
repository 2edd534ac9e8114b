"""What the room for a worker's cache means. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from deploy.doctor.finding import Finding, error, ok, warning

TIGHT_BYTES = 2 << 30
"""The default model, its conversions and what the engines keep take 200 MB; a large model takes its size several
times."""

FULL_BYTES = 256 << 20


@dataclass(frozen=True, slots=True)
class DiskFacts:
    """The free bytes on the cache folder's file system, and why the folder cannot be written to ("" if it can)."""

    folder: Path
    free_bytes: int
    fault: str = ""


def findings(facts: DiskFacts) -> list[Finding]:
    """A worker keeps conversions of models and its choice of engine there; without it each start makes them anew."""
    cure = "Set XDG_CACHE_HOME to a folder that this user may write to."
    if facts.fault:
        return [error(f"The cache folder {facts.folder} cannot be written to: {facts.fault}.", cure)]
    free = f"{facts.free_bytes / (1 << 30):.1f} GiB are free for the cache folder {facts.folder}"
    room = "Make room, or set XDG_CACHE_HOME to a folder on another disk."
    if facts.free_bytes < FULL_BYTES:
        return [error(f"Only {free}: converting a model will fail.", room)]
    if facts.free_bytes < TIGHT_BYTES:
        return [warning(f"Only {free}: large models will not fit.", room)]
    return [ok(f"{free}.")]
