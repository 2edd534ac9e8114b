"""What a worker can be told, as one frozen value; its defaults are the product's."""

from __future__ import annotations

import os
from dataclasses import dataclass

from registry.settings import ConsulSettings
from worker.model import ModelSource


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """What `p2p worker` takes: see its --help for the meaning of each.

    Sizes are in bytes, images or pixels, times in seconds, as the names say.
    """

    consul: ConsulSettings
    source: ModelSource
    service: str = "classify"
    host: str = "127.0.0.1"
    port: int = 0
    advertise: str | None = None
    weight: int = 1
    top: int = 5
    max_body_bytes: int = 32 << 20
    body_memory_bytes: int = 256 << 20
    deadline_s: float = 30.0
    queue_most: int = 256
    drain_s: float = 2.0
    finish_s: float = 30.0
    decode_threads: int = os.cpu_count() or 1
