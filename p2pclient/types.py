"""What goes into a call and what comes out: plain, frozen values."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO, NamedTuple, Protocol, TypeAlias, overload

DEFAULT_REGISTRY = "http://127.0.0.1:12480"
"""Where `p2p up` and `p2p registry` put the lookup service unless told otherwise."""


class Pixels(Protocol):
    """Decoded pixels: a NumPy array, uint8 [height, width] or [height, width, 1, 3 or 4], or a Pillow image."""

    @property
    def __array_interface__(self) -> dict[str, Any]: ...


Image: TypeAlias = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO | Pixels
"""The path of an image file, its bytes, a file opened in binary mode, a NumPy array or a Pillow image."""


class Label(NamedTuple):
    """A class that the model knows and its score, 0 to 1; it unpacks like the pair in the worker's answer."""

    label: str
    score: float


@dataclass(frozen=True, slots=True)
class Classification:
    """What a worker's model sees in one image.

    `labels` are best first and never empty; `worker` is the `host:port` that answered; `took_s` is the
    time of the whole call in seconds, lookups and retries included; `attempts` counts the requests that the call
    made to workers, refused connections included.
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
class Result:
    """The outcome of one of many images: a classification, or the error that a call of its own would have raised.

    `index` counts the images from 0 in the order in which they were given.
    """

    index: int
    image: Image
    classification: Classification | None = None
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor as the Open Inference Protocol writes it: for code without NumPy.

    `datatype` is the protocol's (FP32, UINT8, INT64, ...); `data` holds the elements in C order, little
    endian. For the datatype BYTES it is the elements, each a `bytes`.
    """

    datatype: str
    shape: tuple[int, ...]
    data: bytes | memoryview | tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a worker's model answers to tensors: its outputs by name, NumPy arrays where NumPy is installed.

    `model` and `version` are the names that the worker gives; the other fields are those of `Classification`.
    """

    outputs: Mapping[str, Any]
    model: str
    version: str
    worker: str
    took_s: float
    attempts: int


@dataclass(frozen=True, slots=True)
class Worker:
    """One worker as the lookup service names it.

    `boot` identifies the process: sent along with a request, it makes another process that has taken over
    the port refuse (421) instead of answering for a different model. `weight` is its share of the
    traffic against others, `health` what Consul says of it: passing, warning, critical or maintenance, and `output`
    what its worst check says, or the operator's reason for the maintenance: "" if it passes, or where that is not told.
    A worker stays the same one, and equal, when these three change. `scheme` is https where it speaks TLS, else http;
    `auth` what it wants of clients: a "ticket" of the lookup service, a "token", or "none". `ticket` is the one that
    came with the address, if one did: good for a minute, to be sent to this worker as a bearer token.
    """

    service: str
    id: str
    host: str
    port: int
    version: str = ""
    boot: str = ""
    weight: int = field(default=1, compare=False)
    health: str = field(default="passing", compare=False)
    output: str = field(default="", compare=False)
    scheme: str = "http"
    auth: str = "none"
    ticket: str | None = field(default=None, compare=False, repr=False)

    @property
    def address(self) -> str:
        """`host:port` as a URL wants it: an IPv6 host stands in brackets."""
        return host_port(self.host, self.port)

    @property
    def healthy(self) -> bool:
        """Whether it is to be asked: passing or warning, which means loaded, not broken."""
        return self.health in ("passing", "warning")


def host_port(host: str, port: int) -> str:
    """`host:port` as a URL wants it: an IPv6 host stands in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@dataclass(frozen=True, slots=True)
class Panic:
    """Panic mode: only `healthy` of `total` workers are, fewer than half, so that all are used."""

    healthy: int
    total: int


@dataclass(frozen=True, slots=True)
class Rollout:
    """How a service's calls are spread over versions of its model, as an operator has set with `p2p split`.

    `split` are the weights as they were set, and `shares` those by which calls are spread now: versions that are
    `absent`, without a healthy worker, have given theirs to the others. `shadows`: of which percent of the calls a
    version gets a copy after the caller has its answer.
    """

    split: Mapping[str, int]
    shadows: Mapping[str, float]
    shares: Mapping[str, int]
    absent: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class UnusableWorker:
    """A worker that is left out because no request can be sent to it as it is registered; `reason` is a clause."""

    id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Snapshot(Sequence[Worker]):
    """All workers of a service, healthy or not, as known at one moment: a sequence of them.

    `age_s`: seconds since this was known to be true. A subscription hears of a change at once and is
    told at least every half minute that there was none, so that ages up to 30 s are ordinary. `panic` is set in panic
    mode; `unusable` are the workers that are registered as no worker can be; `rollout` is set while the calls are split
    among versions.
    """

    service: str
    workers: tuple[Worker, ...]
    age_s: float
    panic: Panic | None = None
    unusable: tuple[UnusableWorker, ...] = ()
    rollout: Rollout | None = None

    def __len__(self) -> int:
        return len(self.workers)

    @overload
    def __getitem__(self, index: int) -> Worker: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Worker]: ...

    def __getitem__(self, index: int | slice) -> Worker | Sequence[Worker]:
        return self.workers[index]


@dataclass(frozen=True, slots=True)
class Service:
    """A service that can be asked for: how many workers it has, how many of them are healthy, and their versions."""

    name: str
    instances: int
    serving: int
    versions: tuple[str, ...]
