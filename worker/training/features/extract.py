"""Photos -> features: from the cache, else decoded in threads and computed by the fastest engine that is installed.

OpenVINO reads frozen graphs and is about three times faster than TensorFlow, which is used where OpenVINO is missing.
Some batches are decoded and computed ahead, so that no thread waits for another.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from worker.artifacts.source import DEFAULT_MAX_PIXELS
from worker.engines.base import Engine
from worker.errors import WorkerError
from worker.images.decode import decode
from worker.system.cpu import usable_cores
from worker.training.features.cache import FeatureCache, Seen
from worker.training.features.distortions import Distortions
from worker.training.features.engines import FeatureEngines
from worker.training.features.network import Network
from worker.training.interruption import Stopped
from worker.training.photos.fingerprint import fingerprint
from worker.training.progress import Progress

BATCH = 8
"""Photos that are computed in one call: more bring nothing on a processor."""

_AHEAD = 4  # batches that are decoded ahead

Pixels = NDArray[np.uint8]
T = TypeVar("T")
R = TypeVar("R")


class Read(NamedTuple):
    """A photo's file, and the SHA-256 of its content."""

    path: Path
    digest: str


Decoded = tuple[Read, Pixels | str]
"""A photo's file with its pixels, or with the reason why it has none."""


class Failed(NamedTuple):
    """A file that cannot be used, and why."""

    path: Path
    reason: str


def read_all(paths: Sequence[Path], progress: Progress) -> tuple[list[Read], list[Failed]]:
    """The digest of each file that can be read."""
    read: list[Read] = []
    failed: list[Failed] = []
    progress.stage("Reading files", len(paths))
    for path in paths:
        try:
            with path.open("rb") as file:
                read.append(Read(path, hashlib.file_digest(file, "sha256").hexdigest()))
        except OSError as error:
            failed.append(Failed(path, error.strerror or str(error)))
        progress.advance()
    return read, failed


class Extractor:
    """Computes the features of photos with one network.

    `network` is called when the first photo is computed that the cache does not hold: it may take seconds.
    """

    def __init__(self, network: Network, cache: FeatureCache, progress: Progress, stopped: Stopped) -> None:
        self.network = network
        self._cache = cache
        self._progress = progress
        self._stopped = stopped
        self._engines: FeatureEngines | None = None

    def seen(
        self, photos: Sequence[Read], *, distortions: Distortions | None = None
    ) -> tuple[dict[str, Seen], list[Failed]]:
        """What the network sees in each photo, by digest, and the photos that cannot be decoded.

        With `distortions` the photos are distorted first, each in its own way. If the training is to stop, photos are
        missing from both.
        """
        suffix = "" if distortions is None else f"+{distortions.id}"
        found = {key.removesuffix(suffix): seen for key, seen in self._known(photos, suffix).items()}
        missing = {photo.digest: photo for photo in photos if photo.digest not in found}
        failed: list[Failed] = []
        self._progress.stage("Computing features", len(photos))
        self._progress.advance(len(photos) - len(missing))
        for batch, rows in self._computed(self._decoded(list(missing.values()), distortions), len(missing)):
            failed += [Failed(photo.path, image) for photo, image in batch if isinstance(image, str)]
            self._cache.put({f"{digest}{suffix}": seen for digest, seen in rows.items()})
            found |= rows
            self._progress.advance(len(batch))
            if self._stopped():
                break
        return found, failed

    def close(self) -> None:
        """Release the engines' memory."""
        if self._engines is not None:
            self._engines.close()
            self._engines = None

    def _known(self, photos: Sequence[Read], suffix: str) -> dict[str, Seen]:
        return self._cache.get(sorted({f"{photo.digest}{suffix}" for photo in photos}))

    def _computed(self, photos: Iterator[Decoded], count: int) -> Iterator[tuple[list[Decoded], dict[str, Seen]]]:
        """The decoded photos, of which there are `count`, in batches, with what the network sees in each."""
        if not count:
            return
        if self._engines is None:
            self._engines = FeatureEngines(self.network, count)
        engines = self._engines
        batches = iter(lambda: list(islice(photos, BATCH)), [])
        yield from _ahead(
            lambda batch: engines.computed(lambda engine: _seen(engine, batch)), batches, 2 * engines.count
        )

    def _decoded(self, photos: Sequence[Read], distortions: Distortions | None) -> Iterator[Decoded]:
        """Each photo with its pixels, or with the reason why it has none."""
        size = self.network.size

        def pixels(photo: Read) -> Pixels | str:
            try:
                data = photo.path.read_bytes()
                if distortions is not None:
                    whole = decode(data, size=None, max_pixels=DEFAULT_MAX_PIXELS)
                    return distortions.apply(whole, size, photo.digest)
                return decode(data, size=size, max_pixels=DEFAULT_MAX_PIXELS)
            except OSError as error:
                return error.strerror or str(error)
            except WorkerError as error:
                return str(error)

        with ThreadPoolExecutor(usable_cores(), thread_name_prefix="decode") as threads:
            yield from _ahead(lambda photo: threads.submit(pixels, photo), photos, BATCH * _AHEAD)


def _seen(engine: Engine, batch: Sequence[Decoded]) -> dict[str, Seen]:
    """What the network of an engine sees in the photos of a batch that have pixels, by their digests."""
    images = [(photo, image) for photo, image in batch if not isinstance(image, str)]
    if not images:
        return {}
    rows = engine.predict([image for _, image in images]).astype(np.float16)
    return {photo.digest: Seen(fingerprint(image), row) for (photo, image), row in zip(images, rows, strict=True)}


def _ahead(submit: Callable[[T], Future[R]], items: Iterable[T], most: int) -> Iterator[tuple[T, R]]:
    """Each item with the result of its work, in order; the work of `most` items is begun ahead."""
    waiting: deque[tuple[T, Future[R]]] = deque()
    rest = iter(items)
    try:
        while True:
            waiting += [(item, submit(item)) for item in islice(rest, most - len(waiting))]
            if not waiting:
                return
            item, future = waiting.popleft()
            yield item, future.result()
    finally:
        for _, future in waiting:
            future.cancel()
