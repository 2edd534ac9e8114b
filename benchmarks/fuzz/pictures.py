"""Searches for a picture of up to 1 MB that costs more than 1 s of processor time or 300 MB of memory to decode.

    python -m benchmarks.fuzz.pictures [--seconds 600] [--seed N] [--keep FOLDER]

Small files of every format that workers take are mutated (parts repeated, sizes enlarged, fields changed) and decoded,
scaled to a model's input and unscaled. The most expensive files of each format are mutated further. Prints, for each
format, the most seconds and megabytes of one picture, and the seconds per megapixel and per megabyte of the files that
were decoded or refused; the exit code is 1 if a picture costs too much or raises another error than ours.
"""

from __future__ import annotations

import argparse
import hashlib
import heapq
import random
import sys
import time
import warnings
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.pictures.hostile_pictures import FOUND_LATER, NAMED_IN_THE_ISSUE
from tests.support.pictures.picture_mutations import MOST_BYTES, mutated, seeds
from worker.errors import WorkerError
from worker.images.decode import ImageSize, decode
from worker.images.sniff import kind_of
from worker.system.memory import release_memory

MOST_SECONDS = 1.0
MOST_MEMORY_BYTES = 300_000_000
MAX_PIXELS = 50_000_000
KEPT_FILES = 12
"""The most expensive files of each format, which are mutated further."""

SIZES = (ImageSize(224, 224, "crop", "bicubic"), None)
_STATUS = Path("/proc/self/status")
_RESET = Path("/proc/self/clear_refs")


@dataclass(order=True)
class Case:
    """One file with what it cost."""

    cost_s: float
    memory_bytes: int = field(compare=False)
    kind: str = field(compare=False)
    data: bytes = field(compare=False, repr=False)
    outcome: str = field(compare=False)
    megapixels: float = field(compare=False, default=0.0)


def peak_bytes(name: str) -> int:
    """A figure of this process's memory, such as VmHWM."""
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024


def measured(kind: str, data: bytes, size: ImageSize | None) -> Case:
    """Decode a file; processor time, and by how much the memory grew meanwhile."""
    release_memory()
    _RESET.write_text("5")  # the peak starts again from here
    before, since_s = peak_bytes("VmRSS"), time.thread_time()
    megapixels = 0.0
    try:
        found = decode(data, size=size, max_pixels=MAX_PIXELS)
        outcome, megapixels = "decoded", found.shape[0] * found.shape[1] / 1e6
    except WorkerError as error:
        outcome = type(error).__name__
    except BaseException as error:
        outcome = f"not our error: {error!r}"
    cost_s = time.thread_time() - since_s
    return Case(cost_s, peak_bytes("VmHWM") - before, kind, data, outcome, megapixels if size is None else 0.0)


class Search:
    """The most expensive files so far, by format."""

    def __init__(self, seed: int, keep: Path | None) -> None:
        self.chance = random.Random(seed)
        self.keep = keep
        self.worst: dict[str, list[Case]] = {}
        self.seconds: dict[str, float] = {}
        self.memory: dict[str, int] = {}
        self.per_megapixel: dict[str, float] = {}
        self.per_megabyte: dict[str, float] = {}
        self.tried = 0
        self.findings: list[str] = []
        for kind, data in seeds():
            self.take(measured(kind, data, None))
        for make in (*NAMED_IN_THE_ISSUE.values(), *FOUND_LATER.values()):
            data = make()
            if len(data) <= MOST_BYTES and (known := kind_of(data)):
                self.take(measured(known, data, None))

    def step(self) -> None:
        """Mutate one file of each format and decode it."""
        for kind, cases in self.worst.items():
            fresh = [data for other, data in seeds_of(kind)]
            start = self.chance.choice(cases).data if self.chance.random() < 0.6 else self.chance.choice(fresh)
            data = mutated(kind, start, self.chance)
            if data:
                self.take(measured(kind, data, self.chance.choice(SIZES)))

    def take(self, case: Case) -> None:
        """Count a case; keep it if it is one of the most expensive."""
        self.tried += 1
        kind, kept = case.kind, self.worst.setdefault(case.kind, [])
        heapq.heappush(kept, case)
        if len(kept) > KEPT_FILES:
            heapq.heappop(kept)
        self.seconds[kind] = max(self.seconds.get(kind, 0), case.cost_s)
        self.memory[kind] = max(self.memory.get(kind, 0), case.memory_bytes)
        if case.megapixels > 1:
            self.per_megapixel[kind] = max(self.per_megapixel.get(kind, 0), case.cost_s / case.megapixels)
        if len(case.data) > 100_000:
            rate = case.cost_s / (len(case.data) / 1e6)
            self.per_megabyte[kind] = max(self.per_megabyte.get(kind, 0), rate)
        if case.cost_s > MOST_SECONDS or case.memory_bytes > MOST_MEMORY_BYTES or case.outcome.startswith("not"):
            self.report(case)

    def report(self, case: Case) -> None:
        """Note a finding, and write its file where it can be looked at."""
        name = f"{hashlib.sha256(case.data).hexdigest()[:12]}.{case.kind.lower()}"
        self.findings.append(
            f"{case.kind} of {len(case.data):,} bytes: {case.cost_s:.2f} s, {case.memory_bytes / 1e6:.0f} MB, "
            f"{case.outcome} ({name})"
        )
        if self.keep is not None:
            self.keep.mkdir(parents=True, exist_ok=True)
            (self.keep / name).write_bytes(case.data)


_SEEDS = seeds()


def seeds_of(kind: str) -> list[tuple[str, bytes]]:
    """The small files of one format."""
    return [each for each in _SEEDS if each[0] == kind]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--keep", type=Path, help="write the files of findings into this folder")
    options = parser.parse_args()
    warnings.filterwarnings("ignore", module=r"PIL\.")
    search = Search(options.seed, options.keep)
    end_s = time.monotonic() + options.seconds
    while time.monotonic() < end_s:
        search.step()
    print(f"seed {options.seed}: {search.tried:,} pictures of up to {MOST_BYTES:,} bytes")
    print("| format | s, at most | MB, at most | s per megapixel | s per megabyte |\n| --- | --- | --- | --- | --- |")
    for kind in sorted(search.worst):
        print(
            f"| {kind} | {search.seconds[kind]:.2f} | {search.memory[kind] / 1e6:.0f} "
            f"| {search.per_megapixel.get(kind, 0):.3f} | {search.per_megabyte.get(kind, 0):.2f} |"
        )
    print("\n".join(search.findings) or "Nothing found.")
    sys.exit(bool(search.findings))


if __name__ == "__main__":
    main()
