"""What goes into a call and what comes out: plain, frozen values without behaviour of their own."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import BinaryIO, NamedTuple, TypeAlias

DEFAULT_REGISTRY = "http://127.0.0.1:12480"
"""Where `p2p up` and `p2p registry` put the lookup service unless told otherwise."""

Image: TypeAlias = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO
"""An encoded image: the path of a file, the bytes themselves, or a file opened in binary mode."""


class Label(NamedTuple):
    """A class the model knows and its score, 0 to 1; it unpacks like the pair on the wire."""

    label: str
    score: float


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a worker says of one image.

    `labels` are best first and never empty; `worker` is the `host:port` that answered; `took_s` is the
    time of the whole call in seconds, lookups and retries included; `attempts` counts the workers asked.
    """

    labels: tuple[Label, ...]
    worker: str
    took_s: float
    attempts: int

    @property
    def best(self) -> Label:
        """The label with the highest score."""
        return self.labels[0]


@dataclass(frozen=True, slots=True)
class Worker:
    """One worker as the lookup service hands it out.

    `boot` names the process: sent along with a request, it makes another process that has taken over
    the port refuse (421) instead of answering for a different model. `weight` is its share of the traffic
    against other workers and `health` Consul's word for its checks: they may change while it remains the
    same worker, so that two values which differ in these alone are equal.
    """

    service: str
    id: str
    host: str
    port: int
    version: str = ""
    boot: str = ""
    weight: int = field(default=1, compare=False)
    health: str = field(default="passing", compare=False)

    @property
    def address(self) -> str:
        """`host:port` as a URL wants it: an IPv6 host stands in brackets."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"
