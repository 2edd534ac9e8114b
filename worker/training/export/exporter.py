"""Writes frozen graphs in a child process that loads TensorFlow while the head is still being learned.

TensorFlow takes seconds to load, and nothing but a frozen graph needs it once the features are computed: a SavedModel
is written without it (`saved_model`).
"""

from __future__ import annotations

import os
import pickle
import tempfile
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from worker.system.child_call import call_in_child_blocking
from worker.training.features.network import Network
from worker.training.heads.head import Head

_LOOK_S = 0.02  # how often the child looks for its order
_WITHIN_S = 24 * 3600.0  # a child waits for as long as its parent learns


@dataclass(frozen=True)
class Order:
    """What to write: the frozen graph of a network and a head into the file `graph`; its output is called `final`."""

    network: Network
    head: Head
    graph: Path
    final: str


class Exporter:
    """Starts the child when it is entered; then `begin` once, and `finish`, which raises ModelError if it failed."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="export")
        self._folder = tempfile.TemporaryDirectory(prefix="p2p-export-")
        self._file = Path(self._folder.name) / "order"
        self._done: Future[None] | None = None
        self._ordered = False

    def __enter__(self) -> Self:
        work = partial(serve_order, self._file)
        self._done = self._threads.submit(call_in_child_blocking, work, within_s=_WITHIN_S)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._ordered:
            self._give(None)
        self._threads.shutdown()
        self._folder.cleanup()

    def begin(self, order: Order) -> None:
        """Have the child write."""
        self._give(order)

    def finish(self) -> None:
        """Wait until the child has written."""
        assert self._done is not None
        self._done.result()

    def _give(self, order: Order | None) -> None:
        self._ordered = True
        part = self._file.with_suffix(".part")
        part.write_bytes(pickle.dumps(order))
        os.replace(part, self._file)


def serve_order(file: Path) -> None:
    """The child's side: load TensorFlow, wait for the order, and carry it out."""
    from worker.training.export.graphs import write_frozen_graph

    while not file.exists():
        time.sleep(_LOOK_S)
    order: Order | None = pickle.loads(file.read_bytes())
    if order is not None:
        write_frozen_graph(order.graph, order.network, order.head, final=order.final)
