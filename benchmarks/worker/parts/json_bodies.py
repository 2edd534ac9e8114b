"""How long reading a large JSON body takes, and how long it keeps another thread from running.

    python -m benchmarks.worker.parts.json_bodies

A thread reads each body, of about 32 MB, with the standard library's parser (followed by numpy, for numbers) and with
ours. Meanwhile another thread sleeps for half a millisecond again and again; the longest such sleep is the gap.
"""

from __future__ import annotations

import base64
import contextlib
import json
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from worker.errors import WorkerError
from worker.web.large_json import parse_json


def bodies() -> Mapping[str, bytes]:
    """Bodies by name."""
    chance = np.random.default_rng(0)
    images = chance.integers(0, 256, (41, 224, 224, 3))
    return {
        "pixels, nested": json.dumps({"instances": images.tolist()}).encode(),
        "pixels, flat": json.dumps({"data": images.ravel().tolist()}).encode(),
        "floats": json.dumps({"instances": (images[:10] / 255).tolist()}).encode(),
        "pixels, indented": json.dumps({"instances": images[:15].tolist()}, indent=1).encode(),
        "one file in base64": json.dumps({"b64": base64.b64encode(chance.bytes(24 << 20)).decode()}).encode(),
        "brackets": b"[" + b"[]," * 10_000_000 + b"[]]",
    }


def standard(body: bytes) -> Any:
    """The whole document parsed by the standard library, then an array made of its numbers."""
    (value,) = [document] if isinstance(document := json.loads(body), list) else document.values()
    return value if isinstance(value, str) or not value[0] else np.array(value)


def measured(read: Callable[[bytes], Any], body: bytes) -> tuple[float, float]:
    """Seconds of processor time, and the longest gap in seconds of the other thread."""
    took_s = 0.0

    def timed() -> None:
        nonlocal took_s
        started_s = time.thread_time()
        with contextlib.suppress(WorkerError):  # a refused body costs what is read until then
            read(body)
        took_s = time.thread_time() - started_s

    thread = threading.Thread(target=timed)
    last_s, longest_s = time.monotonic(), 0.0
    thread.start()
    while thread.is_alive():
        time.sleep(0.0005)
        now_s = time.monotonic()
        longest_s, last_s = max(longest_s, now_s - last_s), now_s
    return took_s, longest_s


def main() -> None:
    print(f"{'body':20} {'MB':>5}  {'json: s':>8} {'gap ms':>7}  {'ours: s':>8} {'gap ms':>7}")
    for name, body in bodies().items():
        (old_s, old_gap_s), (new_s, new_gap_s) = measured(standard, body), measured(parse_json, body)
        row = f"{old_s:8.2f} {old_gap_s * 1e3:7.0f}  {new_s:8.2f} {new_gap_s * 1e3:7.0f}"
        print(f"{name:20} {len(body) / 1e6:5.1f}  {row}", flush=True)


if __name__ == "__main__":
    main()
