"""Imports TensorFlow without its start-up messages on stderr, so that only messages that matter appear there.

Since TensorFlow 2.19 its C++ side writes to file descriptor 2 while it is imported, whatever
TF_CPP_MIN_LOG_LEVEL says (tensorflow/tensorflow#100442), so those lines are filtered there.
"""

from __future__ import annotations

import logging
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager

# Informational and warning lines of absl and of the older logger, absl's line about itself, and what TensorFlow 2.18
# calls an error on every machine: that two of its parts bring the same CUDA library.
_STARTUP_MESSAGE = re.compile(
    rb"WARNING: All log messages before absl::InitializeLog\(\)"
    rb"|[IW]\d{4} \d\d:\d\d:\d+\.\d+ +\d+ \S+:\d+\]"
    rb"|E\d{4} \d\d:\d\d:\d+\.\d+ +\d+ cuda_\w+\.cc:\d+\] Unable to register cu\w+ factory"
    rb"|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+: [IW] \S+:\d+\]"
)


@contextmanager
def quiet_tensorflow() -> Iterator[None]:
    """Keep TensorFlow's start-up messages off stderr during an import, and set its logs to errors only.

    All other lines, of any thread, still reach stderr. A log level that the environment sets stays.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow's C++ side reads only this
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    logging.getLogger("absl").setLevel(logging.ERROR)
    real = os.dup(2)
    read_end, write_end = os.pipe()
    os.dup2(write_end, 2)
    os.close(write_end)
    filtering = threading.Thread(target=_filter, args=(read_end, real), name="quiet-tensorflow", daemon=True)
    filtering.start()
    try:
        yield
    finally:
        os.dup2(real, 2)  # closes the pipe's last writing end, so the filter stops
        filtering.join(timeout=1)  # a child process that was started meanwhile may hold the pipe open for longer


def _filter(source: int, target: int) -> None:
    """Pass on what is no start-up message; closes both files, of which nobody else may close `target` before."""
    with os.fdopen(source, "rb") as lines, os.fdopen(target, "wb", buffering=0) as real:
        for line in lines:
            if not _STARTUP_MESSAGE.match(line):
                real.write(line)
