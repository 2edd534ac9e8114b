"""Features of photos, kept by the content of the photo, so that a photo is computed only once per network.

One SQLite file in the user's cache, outside all models: several runs may use it at once, and a run that is stopped
keeps what it has computed. The file is bounded: those not used for longest go first.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from worker.errors import RetrainError

BOUND_BYTES = 2 * 1024**3
"""About 200,000 photos of the default network."""

_ASKED = 500  # keys in one query

_TABLE = """CREATE TABLE IF NOT EXISTS photos (
    key TEXT PRIMARY KEY, used REAL NOT NULL, fingerprint BLOB NOT NULL, features BLOB NOT NULL
) WITHOUT ROWID"""


class Seen(NamedTuple):
    """What is known of a photo: its fingerprint for finding near-duplicates, and its features, float16 [width]."""

    fingerprint: bytes
    features: NDArray[np.float16]


class FeatureCache:
    """The features that one network has computed, by a photo's digest."""

    def __init__(self, folder: Path, network: str, *, bound_bytes: int = BOUND_BYTES) -> None:
        """Open the cache in `folder`; raises RetrainError if it cannot be written.

        A damaged file is replaced: it holds nothing that cannot be computed again.
        """
        self._network = network
        self._bound = bound_bytes
        file = folder / "features.sqlite"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            try:
                self._database = _opened(file)
            except sqlite3.DatabaseError:
                file.unlink()
                self._database = _opened(file)
        except (OSError, sqlite3.Error) as error:
            raise RetrainError(
                f"{folder} cannot be written ({error}): name another folder with --bottleneck-dir."
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def get(self, digests: Sequence[str]) -> dict[str, Seen]:
        """What is known of these photos."""
        found: dict[str, Seen] = {}
        for start in range(0, len(digests), _ASKED):
            keys = {self._key(digest): digest for digest in digests[start : start + _ASKED]}
            marks = ",".join("?" * len(keys))
            query = f"SELECT key, fingerprint, features FROM photos WHERE key IN ({marks})"  # only marks
            for key, fingerprint, features in self._database.execute(query, list(keys)):
                found[keys[key]] = Seen(fingerprint, np.frombuffer(features, np.float16))
            self._database.execute(f"UPDATE photos SET used = ? WHERE key IN ({marks})", [time.time(), *keys])
        self._database.commit()
        return found

    def put(self, rows: Mapping[str, Seen]) -> None:
        """Keep what was computed, at once. A disk that is full costs only the cache."""
        with contextlib.suppress(sqlite3.OperationalError):
            self._database.executemany("INSERT OR REPLACE INTO photos VALUES (?, ?, ?, ?)", self._rows(rows))
            self._database.commit()

    def close(self) -> None:
        """Drop what is beyond the bound, and close the file."""
        with contextlib.suppress(sqlite3.OperationalError):
            self._trim()
        self._database.close()

    def _rows(self, rows: Mapping[str, Seen]) -> Iterable[tuple[str, float, bytes, bytes]]:
        now = time.time()
        for digest, seen in rows.items():
            yield self._key(digest), now, seen.fingerprint, seen.features.astype(np.float16).tobytes()

    def _key(self, digest: str) -> str:
        return f"{self._network}/{digest}"

    def _trim(self) -> None:
        size = "SELECT coalesce(sum(length(features) + length(fingerprint) + length(key)), 0) FROM photos"
        (held,) = self._database.execute(size).fetchone()
        if held <= self._bound:
            return
        oldest = "SELECT key, length(features) + length(fingerprint) + length(key) FROM photos ORDER BY used"
        gone = []
        for key, length in self._database.execute(oldest):
            if held <= self._bound:
                break
            held -= length
            gone.append((key,))
        self._database.executemany("DELETE FROM photos WHERE key = ?", gone)
        self._database.commit()
        self._database.execute("VACUUM")


def _opened(file: Path) -> sqlite3.Connection:
    database = sqlite3.connect(file, timeout=30.0)
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = OFF")  # what a crash of the machine destroys is computed again
        database.execute(_TABLE)
        database.commit()
    except sqlite3.Error:
        database.close()
        raise
    return database
