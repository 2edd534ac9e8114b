"""JPEGs a second: the worker's decoder (Pillow) on one core and on all, torchvision's nvJPEG on the GPU."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from statistics import median
from typing import Any

from benchmarks.gpu.figures import Figure
from benchmarks.gpu.setup import Found, Setup, core_count, photos
from worker.artifacts.source import DEFAULT_MAX_PIXELS
from worker.images.decode import ImageSize, decode

SIZE = ImageSize(224, 224)
BATCH = 64
ROUNDS = 3


def measure(setup: Setup, found: Found) -> None:
    """In turns: Pillow on one core, Pillow on all cores, nvJPEG with the resize on the GPU."""
    files = (photos() * BATCH)[:BATCH]
    turns: dict[str, Callable[[float], float]] = {
        "Pillow, 1 thread": partial(_in_threads, files, 1),
        f"Pillow, {core_count()} threads of one process": partial(_in_threads, files, core_count()),
    }
    if setup.on_gpu:
        turns["nvJPEG in batches of 64, resized on the GPU"] = partial(_nvjpeg, files)
    rates: dict[str, list[float]] = {name: [] for name in turns}
    for _ in range(ROUNDS):
        for name, turn in turns.items():
            rates[name].append(turn(setup.seconds / 2))
    first = median(next(iter(rates.values())))
    for number, (name, values) in enumerate(rates.items()):
        found(Figure(name, median(values), "images/s", first if number else None))
    if not setup.on_gpu:
        found(Figure("nvJPEG", None, "images/s", note="needs a GPU"))


def _in_threads(files: list[bytes], count: int, seconds: float) -> float:
    until_s = time.perf_counter() + seconds

    def run(first: int) -> int:
        done = 0
        for data in itertools.cycle(files[first:] + files[:first]):
            if time.perf_counter() >= until_s:
                return done
            decode(data, size=SIZE, max_pixels=DEFAULT_MAX_PIXELS)
            done += 1
        return done

    began_s = time.perf_counter()
    with ThreadPoolExecutor(count) as threads:
        done = sum(threads.map(run, range(count)))
    return done / (time.perf_counter() - began_s)


def _nvjpeg(files: list[bytes], seconds: float) -> float:
    import torch
    from torchvision.io import decode_jpeg

    encoded = [torch.frombuffer(bytearray(data), dtype=torch.uint8) for data in files]

    def decoded() -> Any:
        images = decode_jpeg(encoded, device="cuda")
        resized = [
            torch.nn.functional.interpolate(
                image.unsqueeze(0).float(), size=(224, 224), mode="bilinear", antialias=True, align_corners=False
            )
            for image in images
        ]
        torch.cuda.synchronize()
        return resized

    decoded()
    done, began_s = 0, time.perf_counter()
    while time.perf_counter() - began_s < seconds:
        decoded()
        done += len(files)
    return done / (time.perf_counter() - began_s)
