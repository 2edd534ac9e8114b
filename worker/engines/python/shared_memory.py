"""Memory that a worker writes and a Python model's process reads: anonymous, and gone with the last of the two."""

from __future__ import annotations

import mmap
import os
import tempfile

import numpy as np

LEAST_BYTES = 1 << 20


class SharedMemory:
    """A block of at least `size` bytes; `file` is handed to the other process, and closed with `handed_over`."""

    def __init__(self, size: int) -> None:
        self.size = max(LEAST_BYTES, 1 << (size - 1).bit_length() if size > 1 else 1)
        self.file = _anonymous_file()
        os.ftruncate(self.file, self.size)
        self.memory = np.frombuffer(mmap.mmap(self.file, self.size), np.uint8)

    def handed_over(self) -> None:
        """The other process has the file: only the memory is needed from now on."""
        os.close(self.file)


def _anonymous_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("p2p-model")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
